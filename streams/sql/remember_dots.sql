insert into dots as d (group_name, topic, partition, origin, last, holes, duplicates, floor, stamp, heard_ms)
select $1, topic, partition, origin, last, holes::int8multirange, duplicates, floor, stamp, heard_ms
from unnest(
  $2::text[], $3::int[], $4::text[], $5::bigint[], $6::text[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[]
) as n (topic, partition, origin, last, holes, duplicates, floor, stamp, heard_ms)
on conflict (group_name, topic, partition, origin)
do update set last = excluded.last, holes = excluded.holes, duplicates = excluded.duplicates, floor = excluded.floor,
  stamp = greatest(d.stamp, excluded.stamp), heard_ms = greatest(d.heard_ms, excluded.heard_ms)
