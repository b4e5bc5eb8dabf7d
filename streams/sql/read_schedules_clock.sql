select value from policy_states where group_name = $1 and policy = 'schedules' and entry = 'clock'
