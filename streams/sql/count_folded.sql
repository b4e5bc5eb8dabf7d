select coalesce(sum(events), 0)::bigint from positions where group_name = $1
