select decision_id, subject, state::text as state, request, proposal from judgements where decision_id = $1
