select group_name, topic, partition, next_offset from positions where group_name = any($1::text[])
