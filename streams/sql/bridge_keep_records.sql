insert into bridge_outbox (client, sequence, topic, partition, key, value)
select $1, sequence, topic, partition, key, value
from unnest($2::bigint[], $3::text[], $4::int[], $5::bytea[], $6::bytea[])
  with ordinality as taken (sequence, topic, partition, key, value, place)
order by place
returning number
