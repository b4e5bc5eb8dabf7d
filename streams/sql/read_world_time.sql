select time_ms from world_clocks where group_name = $1
