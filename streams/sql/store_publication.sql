insert into publications (group_name, topic, partition, sequence, key, value) values ($1, $2, $3, $4, $5, $6)
