update positions p
set next_offset = m.high, events = p.events + m.events, passed = p.passed + m.passed,
  last_stamp = greatest(p.last_stamp, m.stamp), folded_at = now()
from unnest($2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[])
  as m (topic, partition, epoch, low, high, events, stamp, passed)
where p.group_name = $1 and p.topic = m.topic and p.partition = m.partition
  and p.next_offset = m.low and p.epoch = m.epoch
