select decision_id, subject, agent, status, reason
from decisions
where decision_id = any($1::text[])
order by decision_id
