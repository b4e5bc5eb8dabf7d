insert into publication_lanes as l (group_name, topic, partition, sequence)
values ($1, $2, $3, $4)
on conflict (group_name, topic, partition) do update set sequence = l.sequence + excluded.sequence
returning sequence
