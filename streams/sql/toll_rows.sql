select log_topic, log_partition, count(), uniqExact(sequence)
from events
where origin = {origin:String}
group by log_topic, log_partition
