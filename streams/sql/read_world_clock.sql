select time_ms, told_ms, told_by, coalesce(held_until > now(), false) as held
from world_clocks
where group_name = $1
for update
