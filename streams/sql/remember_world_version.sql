insert into world_versions as w (version) values ($1)
on conflict (only_one) do update set version = greatest(w.version, excluded.version)
