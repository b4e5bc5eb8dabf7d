select p.group_name || '-' || p.origin as origin,
  (select coalesce(sum(sequence), 0) from publication_lanes l where l.group_name = p.group_name)::bigint
  - (select count(*) from publications u where u.group_name = p.group_name) as sent
from publishers p
