select number, sequence, topic, partition, key, value from bridge_outbox where client = $1 order by number
