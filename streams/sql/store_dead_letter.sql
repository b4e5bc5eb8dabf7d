insert into dead_letters (topic, partition, record_offset, role, reason, detail, key, value)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict do nothing
