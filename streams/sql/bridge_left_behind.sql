select distinct client from bridge_outbox where taken_at < now() - make_interval(secs => $1)
