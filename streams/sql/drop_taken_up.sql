delete from dead_letters
where roles = '{}' and (topic, partition, record_offset) in (select * from unnest($1::text[], $2::int[], $3::bigint[]))
