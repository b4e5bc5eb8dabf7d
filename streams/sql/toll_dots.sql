select topic, partition,
  sum(last - (select coalesce(sum(upper(hole) - lower(hole)), 0) from unnest(holes) as hole))::bigint as events
from dots
where group_name = $1 and origin = $2
group by topic, partition
