-- ClickHouse. The first and the latest time that the world's clock has told since a stamp; 0 before it has.
select min(`clock_ticked.time_ms`), max(`clock_ticked.time_ms`)
from events where fact = 'clock_ticked' and stamp >= {since:UInt64}
