-- ClickHouse. Decisions that took effect since a stamp and were answered from the cache or in a batch, with what was
-- asked; not the one of a batch that the model was asked for, whose answer is a full one. Those whose ids hash lowest, so
-- that the same log always gives the same sample. `source` is the decision that a cached answer was made for.
select decision_id, agent, context, legal_actions, route, action, content, source
from (
  select `decision_requested.decision_id` as decision_id,
    any(`decision_requested.agent`) as agent,
    any(`decision_requested.context`) as context,
    any(`decision_requested.legal_actions`) as legal_actions
  from events where fact = 'decision_requested' and stamp >= {since:UInt64}
  group by decision_id) as asked
join (
  select `decision_effective.decision_id` as decision_id,
    argMin(`decision_effective.route`, stamp) as route,
    argMin(`decision_effective.action`, stamp) as action,
    argMin(`decision_effective.content`, stamp) as content
  from events where fact = 'decision_effective' and stamp >= {since:UInt64}
  group by decision_id) as effective using (decision_id)
left join (
  select `decision_proposed.decision_id` as decision_id,
    max(JSONExtractString(`decision_proposed.why`, 'decision_id')) as source
  from events where fact = 'decision_proposed' and stamp >= {since:UInt64}
  group by decision_id) as proposed using (decision_id)
where route in ('cache', 'batch') and decision_id not in (
  select `cost_sampled.decision_id` from events
  where fact = 'cost_sampled' and `cost_sampled.source` = 'ai_inference' and stamp >= {since:UInt64})
order by cityHash64(decision_id) limit {size:UInt32}
