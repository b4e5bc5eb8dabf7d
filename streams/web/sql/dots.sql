select p.group_name, p.topic, p.partition,
  (coalesce(d.duplicates, 0) + p.forgotten_duplicates)::bigint as duplicates,
  least(coalesce(d.missing, 0) + p.forgotten_missing, 9223372036854775807)::bigint as holes
from positions p
left join (
  select group_name, topic, partition, sum(duplicates) as duplicates,
    sum((select coalesce(sum(upper(hole) - lower(hole)), 0) from unnest(holes) as hole)) as missing
  from dots
  group by group_name, topic, partition
) d using (group_name, topic, partition)
