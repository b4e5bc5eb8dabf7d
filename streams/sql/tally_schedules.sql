-- ClickHouse. Every time a schedule was due since a stamp, and when the log was told of it.
select `schedule_due.schedule` as schedule, `schedule_due.due_ms` as due_ms, min(bitShiftRight(stamp, 16)) as told_ms
from events where fact = 'schedule_due' and stamp >= {since:UInt64}
group by schedule, due_ms order by due_ms, schedule
