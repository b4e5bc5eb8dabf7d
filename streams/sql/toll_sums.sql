select subject, sum(`player_scored.points`), sum(`gold_gained.amount`)
from events
where origin = {origin:String}
group by subject
