delete from positions where group_name = $1
