select topic, partition, sequence, key, value
from publications
where group_name = $1
order by topic, partition, sequence
limit $2
