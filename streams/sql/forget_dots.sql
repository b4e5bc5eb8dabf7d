with locked as (
  select 1 from positions where group_name = $1 and topic = $2 and partition = $3 and epoch = $4 for update
), gone as (
  delete from dots d
  using (
    select origin from dots
    where group_name = $1 and topic = $2 and partition = $3 and heard_ms < $5 and exists (select from locked)
      and origin <> all($7::text[])
    order by heard_ms
    limit $6
  ) ended
  where d.group_name = $1 and d.topic = $2 and d.partition = $3 and d.origin = ended.origin
  returning d.origin, d.last, d.holes, d.duplicates, d.stamp
), summed as (
  select count(*) as lives, coalesce(max(stamp), 0) as stamp, coalesce(sum(duplicates), 0) as duplicates,
    coalesce(sum(last), 0) as numbered,
    coalesce(sum((select coalesce(sum(upper(hole) - lower(hole)), 0) from unnest(holes) as hole)), 0) as missing
  from gone
), kept as (
  update positions p
  set forgotten_events = p.forgotten_events + (summed.numbered - summed.missing)::bigint,
    forgotten_duplicates = p.forgotten_duplicates + summed.duplicates::bigint,
    forgotten_missing = p.forgotten_missing + summed.missing,
    forgotten_stamp = greatest(p.forgotten_stamp, summed.stamp)
  from summed
  where p.group_name = $1 and p.topic = $2 and p.partition = $3 and summed.lives > 0
  returning p.forgotten_stamp
)
select (select lives from summed) as lives, coalesce((select forgotten_stamp from kept), 0) as forgotten_stamp
