insert into bridge_completions (decision_id, outcome, detail, server) values ($1, $2, $3, $4)
on conflict do nothing
returning decision_id
