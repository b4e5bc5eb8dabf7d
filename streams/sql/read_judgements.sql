select decision_id, subject, state::text, due_ms, request, proposal, approval, told
from judgements
where decision_id = any($1::text[])
