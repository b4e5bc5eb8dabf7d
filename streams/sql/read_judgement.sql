select decision_id, subject, state::text as state, due_ms, proposal from judgements where decision_id = $1
