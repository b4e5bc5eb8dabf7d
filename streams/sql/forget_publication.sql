delete from publications where group_name = $1 and topic = $2 and partition = $3 and sequence = $4
