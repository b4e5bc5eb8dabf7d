select subject, coalesce(score, 0)::bigint as points, coalesce(gold, 0)::bigint as gold
from players
where subject = any($1)
