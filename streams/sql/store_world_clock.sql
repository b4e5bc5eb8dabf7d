insert into world_clocks (group_name, time_ms, told_ms, told_by) values ($1, $2, $3, $4)
on conflict (group_name)
do update set time_ms = excluded.time_ms, told_ms = excluded.told_ms, told_by = excluded.told_by
