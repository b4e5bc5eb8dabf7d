-- ClickHouse. How many announcements all players were told since a stamp.
select uniqExact(id) from events where fact = 'announced' and stamp >= {since:UInt64}
