select topic, partition, next_offset, epoch
from positions
where group_name = $1 and (topic, partition) in (select * from unnest($2::text[], $3::int[]))
