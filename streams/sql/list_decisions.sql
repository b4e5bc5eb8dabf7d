select d.decision_id, d.subject, d.agent, d.action, d.route, coalesce(j.state::text, d.status) as state,
  d.stamp >> 16 as time_ms
from decisions d
left join judgements j using (decision_id)
order by d.stamp desc, d.decision_id
limit $1
