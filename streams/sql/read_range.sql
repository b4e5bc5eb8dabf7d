select low, high, token from ranges where group_name = $1 and topic = $2 and partition = $3
