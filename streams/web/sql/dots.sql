select group_name, topic, partition, sum(duplicates)::bigint as duplicates,
  sum((select coalesce(sum(upper(hole) - lower(hole)), 0) from unnest(holes) as hole))::bigint as holes
from dots
group by group_name, topic, partition
