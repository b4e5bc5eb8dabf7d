insert into positions as p (group_name, topic, partition, next_offset, epoch, born_ms)
select $1, topic, partition, 0, 1, $4
from unnest($2::text[], $3::int[]) as claimed (topic, partition)
order by topic, partition
on conflict (group_name, topic, partition) do update set epoch = p.epoch + 1
returning topic, partition, next_offset, epoch, born_ms, forgotten_stamp
