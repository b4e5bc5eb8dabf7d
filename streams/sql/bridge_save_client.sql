update bridge_clients set last = $2, holes = $3, dots = $4::text::jsonb, stamp = $5 where client = $1
