select topic, partition, count(distinct record_offset) as dead_letters
from dead_letters
group by topic, partition
