update dead_letters set published = true
where topic = $1 and partition = $2 and record_offset = $3
