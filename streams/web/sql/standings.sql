select group_name, topic, partition, next_offset, events, last_stamp,
  extract(epoch from clock_timestamp() - folded_at)::float8 as folded_ago_s
from positions
order by group_name, topic, partition
