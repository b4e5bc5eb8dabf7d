select source, model, sum(cost_usd_micros)::bigint as cost_usd_micros, sum(samples)::bigint as samples,
  sum(prompt_tokens + completion_tokens)::bigint as tokens
from costs
group by source, model
order by 3 desc, source, model
limit 8
