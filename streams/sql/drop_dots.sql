delete from dots where group_name = $1
