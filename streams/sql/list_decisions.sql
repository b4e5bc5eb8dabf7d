-- What has come to its end has, whatever is written about it later: until then the court's own table knows best.
select d.decision_id, d.subject, d.agent, d.action, d.route, d.rule, d.reason, d.approval_status, d.approver, d.called_by,
  d.stamp >> 16 as time_ms,
  case
    when d.status in ('effective', 'closed') then d.status
    when j.state = 'awaiting_approval' then 'waiting'
    when j.state = 'rejected' then 'closed'
    else coalesce(j.state::text, d.status)
  end as state
from decisions d
left join judgements j using (decision_id)
order by d.stamp desc, d.decision_id
limit $1
