select rank, subject as player, score::bigint, level, gold::bigint
from leaderboard
order by rank
limit 10
