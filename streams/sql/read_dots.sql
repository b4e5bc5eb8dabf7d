select topic, partition, origin, last, holes, duplicates
from dots
where group_name = $1 and (topic, partition) in (select * from unnest($2::text[], $3::int[]))
