insert into bridge_calls (event_id, client, sequence)
select event_id, $1, sequence from unnest($2::text[], $3::bigint[]) as called (event_id, sequence)
on conflict do nothing
