insert into ranges (group_name, topic, partition, low, high, token)
values ($1, $2, $3, $4, $5, $6)
on conflict (group_name, topic, partition)
do update set low = excluded.low, high = excluded.high, token = excluded.token
