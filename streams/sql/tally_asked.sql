-- ClickHouse. How many decisions were asked for since a stamp.
select count() from events where fact = 'decision_requested' and stamp >= {since:UInt64}
