-- ClickHouse. Every proposal of one decision, oldest first, and why it was rejected, if it was.
select p.event_id as event_id, bitShiftRight(p.stamp, 16) as time_ms, p.origin as origin, p.agent as agent,
  p.action as action, p.content as content, p.route as route, p.model as model, coalesce(r.reason, '') as rejected
from (select * from decisions_proposals where decision_id = {decision:String}) as p
left join (select * from decisions_rejections where decision_id = {decision:String}) as r on r.proposal_id = p.event_id
order by p.stamp, p.event_id
