select p.topic, p.partition, p.next_offset, p.events,
  coalesce(d.numbered - d.missing, 0)::bigint as "distinct",
  coalesce(d.duplicates, 0)::bigint as duplicates,
  coalesce(d.missing, 0)::bigint as missing,
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
  where role = $2
  group by topic, partition
) x using (topic, partition)
where p.group_name = $1
