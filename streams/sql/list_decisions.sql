-- What has taken effect has: that it was asked for again much later, or rejected then, changes nothing.
select d.decision_id, d.subject, d.agent, d.action, d.route, d.stamp >> 16 as time_ms,
  case d.status when 'effective' then d.status else coalesce(j.state::text, d.status) end as state
from decisions d
left join judgements j using (decision_id)
order by d.stamp desc, d.decision_id
limit $1
