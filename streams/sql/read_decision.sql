-- ClickHouse. What is known of one decision.
select status, subject, agent, action, content, impact, route, rule, proposal_id, called_by, approval_status, approver,
  answered_ms, comment, reason, outcome, review_proposal_id
from decisions where decision_id = {decision:String}
