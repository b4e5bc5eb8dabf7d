-- ClickHouse. Each tick of the world's clock since a stamp: when it was told, and the world's time.
select min(bitShiftRight(stamp, 16)) as told_ms, `clock_ticked.time_ms` as time_ms
from events where fact = 'clock_ticked' and stamp >= {since:UInt64}
group by time_ms order by told_ms
