-- ClickHouse. What each agent's calls of models have cost since a stamp.
select `cost_sampled.agent` as agent,
  sum(`cost_sampled.cost_usd_micros`) as cost_usd_micros,
  sum(`cost_sampled.calls`) as calls
from events where fact = 'cost_sampled' and `cost_sampled.source` = 'ai_inference' and stamp >= {since:UInt64}
group by agent order by agent
