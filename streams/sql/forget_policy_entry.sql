delete from policy_states where group_name = $1 and policy = $2 and entry = $3
