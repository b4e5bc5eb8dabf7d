-- ClickHouse. Every decision asked for since a stamp, with what came of it: by which route, and why not by a better one;
-- how many calls of a model it made, and for how many requests they were made where it had waited for others.
with
  asked as (
    select `decision_requested.decision_id` as decision_id,
      any(`decision_requested.agent`) as agent,
      any(`decision_requested.tier`) as tier,
      min(bitShiftRight(stamp, 16)) as requested_ms,
      any(`decision_requested.deadline_ms`) as deadline_ms
    from events where fact = 'decision_requested' and stamp >= {since:UInt64}
    group by decision_id),
  proposed as (
    select `decision_proposed.decision_id` as decision_id,
      argMin(`decision_proposed.route`, stamp) as route,
      argMin(`decision_proposed.fallback_reason`, stamp) as fallback_reason,
      argMin(JSONExtractUInt(`decision_proposed.why`, 'together'), stamp) as together
    from events where fact = 'decision_proposed' and stamp >= {since:UInt64}
    group by decision_id),
  effective as (
    select `decision_effective.decision_id` as decision_id,
      uniqExact(id) as effects,
      argMin(`decision_effective.route`, stamp) as effective_route,
      min(bitShiftRight(stamp, 16)) as effective_ms
    from events where fact = 'decision_effective' and stamp >= {since:UInt64}
    group by decision_id),
  called as (
    select `cost_sampled.decision_id` as decision_id, sum(`cost_sampled.calls`) as calls
    from events where fact = 'cost_sampled' and `cost_sampled.source` = 'ai_inference' and stamp >= {since:UInt64}
    group by decision_id),
  reviewed as (
    select `approval_requested.decision_id` as decision_id,
      min(bitShiftRight(stamp, 16)) as put_ms,
      max(`approval_requested.deadline_ms`) as until_ms
    from events where fact = 'approval_requested' and stamp >= {since:UInt64}
    group by decision_id),
  -- By a person's no, or because nobody said yes (inference/court.py): nothing may come of it, and it is answered.
  declined as (
    select `decision_rejected.decision_id` as decision_id, min(bitShiftRight(stamp, 16)) as declined_ms
    from events where fact = 'decision_rejected' and stamp >= {since:UInt64}
      and match(`decision_rejected.reason`, '^(refused|not_approved):')
    group by decision_id)
select decision_id, agent, tier, requested_ms, deadline_ms,
  if(effective_route = '', route, effective_route) as decided_by, fallback_reason, effects, effective_ms,
  route as proposed_by, calls, together, put_ms, until_ms, declined_ms
from asked
left join proposed using (decision_id) left join effective using (decision_id) left join called using (decision_id)
left join reviewed using (decision_id) left join declined using (decision_id)
order by decision_id
