select d.topic, d.partition, d.origin, d.last, d.holes, d.duplicates, d.floor
from unnest($2::text[], $3::int[], $4::text[]) as wanted (topic, partition, origin)
join dots d on d.group_name = $1
  and (d.topic, d.partition, d.origin) = (wanted.topic, wanted.partition, wanted.origin)
