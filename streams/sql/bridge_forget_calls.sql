delete from bridge_calls where event_id = any(array(
  select event_id from bridge_calls where called_at < now() - make_interval(secs => $1) limit $2
  for update skip locked
))
