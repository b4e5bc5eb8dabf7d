-- ClickHouse. Every decision asked for since a stamp, with what came of it: by which route, and why not by a better one.
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
      argMin(`decision_proposed.fallback_reason`, stamp) as fallback_reason
    from events where fact = 'decision_proposed' and stamp >= {since:UInt64}
    group by decision_id),
  effective as (
    select `decision_effective.decision_id` as decision_id,
      uniqExact(id) as effects,
      argMin(`decision_effective.route`, stamp) as effective_route,
      min(bitShiftRight(stamp, 16)) as effective_ms
    from events where fact = 'decision_effective' and stamp >= {since:UInt64}
    group by decision_id)
select decision_id, agent, tier, requested_ms, deadline_ms,
  if(effective_route = '', route, effective_route) as decided_by, fallback_reason, effects, effective_ms
from asked left join proposed using (decision_id) left join effective using (decision_id)
order by decision_id
