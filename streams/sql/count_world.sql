select (select count(*) from decisions where status = 'effective') as decisions,
  (select coalesce(sum(cost_usd_micros), 0)::bigint from costs) as cost_usd_micros
