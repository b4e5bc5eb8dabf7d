-- Or an end without an effect, which a game takes note of in the same way.
select a.subject, a.agent, a.outcome, a.detail, a.server
from actions a
where a.decision_id = $1 and (a.action is not null or a.reason is not null)
