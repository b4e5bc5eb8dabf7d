insert into dead_letters as d (
  topic, partition, record_offset, roles, reason, detail, key, value, appended_ms, unknown_fields
)
values ($1, $2, $3, array[$4::text], $5, $6, $7, $8, $9, $10)
on conflict (topic, partition, record_offset)
do update set roles = array(select distinct role from unnest(d.roles || excluded.roles) as role order by role)
where not d.roles @> excluded.roles
