select stamp >> 16 as time_ms, agent, subject, action, content, concat_ws(', ', route, nullif(model, '')) as route, status
from decisions
order by stamp desc, decision_id
limit 8
