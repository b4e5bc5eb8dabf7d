delete from bridge_outbox where number = any($1::bigint[])
