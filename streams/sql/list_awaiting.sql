select decision_id, subject, due_ms, proposal
from judgements
where state = 'awaiting_approval'
order by due_ms, decision_id
limit $1
