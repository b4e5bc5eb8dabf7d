select a.subject, a.agent, a.outcome, a.detail, a.server
from actions a
where a.decision_id = $1 and a.action is not null
