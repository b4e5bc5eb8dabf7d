select reason, count(*) as dead_letters
from dead_letters
where 'fold' = any(roles)
group by reason
order by reason
