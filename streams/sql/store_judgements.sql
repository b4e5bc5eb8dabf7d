insert into judgements as j (
  decision_id, subject, partition, state, due_ms, request, proposal, approval, told, closed_ms
)
select decision_id, subject, partition, state::judgement_state, due_ms, request, proposal, approval, told,
  case when due_ms is null then $10::bigint end
from unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::bigint[], $6::bytea[], $7::bytea[], $8::bytea[],
  $9::int[]) as n (decision_id, subject, partition, state, due_ms, request, proposal, approval, told)
order by decision_id
-- Another worker may have stored a request or a proposal since this one read the row: neither is lost, and whoever
-- rules on the decision is sent to look again.
on conflict (decision_id) do update set
  state = greatest(j.state, excluded.state),
  subject = case when excluded.request is null then j.subject else excluded.subject end,
  partition = case when excluded.request is null then j.partition else excluded.partition end,
  due_ms = case
    when greatest(j.state, excluded.state) >= 'effective' then null
    when j.request is not null and excluded.request is null then 0
    when j.proposal is not null and excluded.proposal is null and excluded.request is not null then 0
    else excluded.due_ms
  end,
  request = case
    when greatest(j.state, excluded.state) < 'effective' then coalesce(j.request, excluded.request)
  end,
  proposal = case
    when greatest(j.state, excluded.state) >= 'effective' then null
    when j.request is null and excluded.state = 'held' then excluded.proposal
    else coalesce(j.proposal, excluded.proposal)
  end,
  approval = case
    when greatest(j.state, excluded.state) < 'effective' then coalesce(j.approval, excluded.approval)
  end,
  told = j.told | excluded.told,
  -- Whenever nothing is left to do, which is when due_ms is null.
  closed_ms = case
    when j.state >= 'effective' then coalesce(j.closed_ms, $10::bigint)
    when excluded.state >= 'effective' then $10::bigint
    when greatest(j.state, excluded.state) = 'held' and excluded.due_ms is null then $10::bigint
  end
