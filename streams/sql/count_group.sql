select p.topic, p.partition, p.next_offset, p.events, p.passed, p.lost,
  (coalesce(d.numbered - d.missing, 0) + p.forgotten_events)::bigint as "distinct",
  (coalesce(d.duplicates, 0) + p.forgotten_duplicates)::bigint as duplicates,
  least(coalesce(d.missing, 0) + p.forgotten_missing, 9223372036854775807)::bigint as missing,
  p.forgotten_stamp = 0 and not coalesce(d.given_up, false) as remembers_all,
  coalesce(x.dead_letters, 0)::bigint as dead_letters,
  coalesce(x.untold, 0)::bigint as untold
from positions p
left join (
  select topic, partition, sum(last) as numbered, sum(duplicates) as duplicates, bool_or(floor > 1) as given_up,
    sum((select coalesce(sum(upper(hole) - lower(hole)), 0) from unnest(holes) as hole)) as missing
  from dots
  where group_name = $1
  group by topic, partition
) d using (topic, partition)
left join (
  select topic, partition, count(*) as dead_letters,
    count(*) filter (where reason in ('life_forgotten', 'dot_unknown')) as untold
  from dead_letters
  where $2 = any(roles)
  group by topic, partition
) x using (topic, partition)
where p.group_name = $1
