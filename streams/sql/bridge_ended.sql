-- Decisions that came to their end without an effect, and that nobody has taken note of.
select e.decision_id, e.closed_subject as subject, e.closed_agent as agent, e.reason, e.closing_stamp as stamp,
  e.closed_called_by as called_by, b.client, b.sequence
from actions_by_region e
left join bridge_calls b on b.event_id = e.closed_called_by
where e.closing_stamp is not null and e.completion_stamp is null
  and (e.closing_stamp, e.decision_id) > ($1::bigint, $2::text)
  and ($3::text[] is null or e.closed_subject = any($3::text[]))
  and not exists (
    select from actions_by_region o
    where o.decision_id = e.decision_id
      and (o.completion_stamp is not null or o.effective_stamp is not null
        or (o.closing_stamp, o.region) < (e.closing_stamp, e.region))
  )
  and not exists (select from bridge_completions c where c.decision_id = e.decision_id)
order by e.closing_stamp, e.decision_id
limit $4
