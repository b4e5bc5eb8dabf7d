select group_name, topic, partition, next_offset, topic_id
from positions
order by group_name, topic, partition
