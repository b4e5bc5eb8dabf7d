select coalesce(sum(cost_usd_micros), 0)::bigint from costs
