select policy, entry, version, value from policy_states where group_name = $1 and policy = any($2::text[])
