select topic, partition, record_offset, roles, reason, detail, key, value
from dead_letters
where not published
order by found_at, topic, partition, record_offset
limit $1
