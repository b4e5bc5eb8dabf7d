update positions set events = events - $4
where group_name = $1 and topic = $2 and partition = $3
