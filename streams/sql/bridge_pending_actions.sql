select e.decision_id, e.subject, e.agent, e.action, e.content, e.about, e.impact, e.effective_stamp as stamp,
  e.called_by, b.client, b.sequence
from actions_by_region e
left join bridge_calls b on b.event_id = e.called_by
where e.effective_stamp is not null and e.completion_stamp is null
  and (e.effective_stamp, e.decision_id) > ($1::bigint, $2::text)
  and ($3::text[] is null or e.subject = any($3::text[]))
  and not exists (
    select from actions_by_region o
    where o.decision_id = e.decision_id
      and (o.completion_stamp is not null or (o.effective_stamp, o.region) < (e.effective_stamp, e.region))
  )
  and not exists (select from bridge_completions c where c.decision_id = e.decision_id)
order by e.effective_stamp, e.decision_id
limit $4
