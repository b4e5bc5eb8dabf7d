select p.topic, p.partition, p.next_offset, p.events, p.passed, p.lost,
  (coalesce(d.numbered - d.missing, 0) + p.forgotten_events)::bigint as "distinct",
  (coalesce(d.duplicates, 0) + p.forgotten_duplicates)::bigint as duplicates,
  least(coalesce(d.missing, 0), 9223372036854775807)::bigint as missing,
  coalesce(x.dead_letters, 0)::bigint as dead_letters
from positions p
left join (
  select topic, partition, sum(last) as numbered, sum(duplicates) as duplicates,
    sum((select coalesce(sum(upper(hole) - lower(hole)), 0) from unnest(holes) as hole)) as missing
  from dots
  where group_name = $1
  group by topic, partition
) d using (topic, partition)
left join (
  select topic, partition, count(*) as dead_letters
  from dead_letters
  where $2 = any(roles)
  group by topic, partition
) x using (topic, partition)
where p.group_name = $1
