-- What is said and done is what took effect: what somebody proposed is not on the page.
select d.stamp >> 16 as time_ms, d.agent, d.subject, d.action, d.content,
  concat_ws(', ', d.route, nullif(p.model, '')) as route, d.rule, d.status,
  nullif(concat_ws(' by ', nullif(d.approval_status, 'none'), d.approver), '') as approval, d.reason
from (select * from decisions order by stamp desc, decision_id limit 8) d
left join lateral (
  select model from decisions_proposals p where p.decision_id = d.decision_id and p.event_id = d.proposal_id
) p on true
order by d.stamp desc, d.decision_id
