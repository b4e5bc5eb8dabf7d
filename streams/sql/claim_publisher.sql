insert into publishers as p (group_name) values ($1)
on conflict (group_name) do update set origin = p.origin
returning origin
