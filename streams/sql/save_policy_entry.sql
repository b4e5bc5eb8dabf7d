insert into policy_states (group_name, policy, entry, version, value)
values ($1, $2, $3, $4, $5)
on conflict (group_name, policy, entry) do update set version = excluded.version, value = excluded.value
