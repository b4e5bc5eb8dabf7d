insert into dots as d (group_name, topic, partition, origin, last, holes, duplicates)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict (group_name, topic, partition, origin)
do update set last = excluded.last, holes = excluded.holes, duplicates = excluded.duplicates
