select topic, partition, count(*) as dead_letters
from dead_letters
group by topic, partition
