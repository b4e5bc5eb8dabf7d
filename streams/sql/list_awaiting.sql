-- Those that nobody has answered yet.
select decision_id, subject, request, proposal
from judgements
where state = 'awaiting_approval' and approval is null
order by due_ms, decision_id
limit $1
