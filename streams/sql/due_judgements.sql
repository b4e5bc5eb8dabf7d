select decision_id, subject, state::text, due_ms, request, proposal, approval, told
from judgements
where partition = any($1::int[]) and due_ms <= $2
order by due_ms
limit $3
