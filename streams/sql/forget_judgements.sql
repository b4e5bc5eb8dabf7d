-- In no order, so that a batch costs as much as it takes away, however much there is. A row that is being written to at
-- the moment is left to the next batch.
delete from judgements where decision_id = any(array(
  select decision_id
  from judgements
  where partition = any($1::int[]) and closed_ms < $2
  limit $3
  for update skip locked
))
