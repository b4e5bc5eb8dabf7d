select topic, partition, record_offset, key, value, appended_ms
from dead_letters
where $1 = any(roles) and unknown_fields && $2::int[] and appended_ms is not null
  and (topic, partition) in (select * from unnest($3::text[], $4::int[]))
order by topic, partition, record_offset
limit $5
