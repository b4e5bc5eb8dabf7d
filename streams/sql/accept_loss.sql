update positions
set next_offset = $5, lost = lost + $5 - next_offset, epoch = epoch + 1, topic_id = coalesce($6, topic_id)
where group_name = $1 and topic = $2 and partition = $3 and next_offset = $4
