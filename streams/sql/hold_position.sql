select 1 from positions
where group_name = $1 and topic = $2 and partition = $3 and next_offset = $4 and epoch = $5
for update
