delete from ranges where group_name = $1
