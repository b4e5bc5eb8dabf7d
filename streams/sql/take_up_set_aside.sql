with taken as (
  update dead_letters d set roles = array_remove(d.roles, $1)
  from unnest($2::text[], $3::int[], $4::bigint[]) as t (topic, partition, record_offset)
  where (d.topic, d.partition, d.record_offset) = (t.topic, t.partition, t.record_offset) and $1 = any(d.roles)
  returning d.topic, d.partition, d.record_offset, d.roles
)
select count(*) from taken
