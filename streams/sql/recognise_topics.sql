with seen as (
  select topic, topic_id from unnest($4::text[], $5::bytea[]) as s (topic, topic_id)
), known as (
  update positions p set topic_id = coalesce(p.topic_id, seen.topic_id)
  from seen
  where p.group_name = $1 and p.topic = seen.topic
    and (p.topic, p.partition) in (select * from unnest($2::text[], $3::int[]))
  returning p.topic, p.topic_id, seen.topic_id as seen_id
)
select distinct topic from known where topic_id <> seen_id
