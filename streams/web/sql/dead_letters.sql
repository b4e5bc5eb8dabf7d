select (extract(epoch from found_at) * 1000)::bigint as found_ms, array_to_string(roles, ', ') as role, reason, topic,
  partition, record_offset as "offset", detail
from dead_letters
order by found_at desc, topic, partition, record_offset desc
limit 5
