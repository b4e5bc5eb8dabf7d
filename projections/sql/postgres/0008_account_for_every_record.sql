-- Each offset of the log is an event, a repeat, a dead letter, or one of these: `passed` holds no committed record (control
-- records, aborted transactions, compaction), `lost` was deleted before it was read, and accepted as lost.
alter table positions add column passed bigint not null default 0;
alter table positions add column lost bigint not null default 0;
-- The broker's id of the topic: another topic of the same name is not the one that was read.
alter table positions add column topic_id bytea;
-- When the group first claimed the partition, in Unix milliseconds; 0 for those from before this column.
alter table positions add column born_ms bigint not null default 0;

-- What producers' lives that have been forgotten had given: so that counts hold, and no repeat of theirs is taken as new.
alter table positions add column forgotten_events bigint not null default 0;
alter table positions add column forgotten_duplicates bigint not null default 0;
alter table positions add column forgotten_missing numeric not null default 0;
alter table positions add column forgotten_stamp bigint not null default 0;

-- `floor`: below it gaps were given up, and a number in no hole may have been had or not.
alter table dots add column floor bigint not null default 1;
-- The latest stamp and append time of the life's events here; those from before this column count from now.
alter table dots add column stamp bigint not null default 0;
alter table dots add column heard_ms bigint not null default (extract(epoch from now()) * 1000)::bigint;
alter table dots alter column heard_ms drop default;
update dots set stamp = positions.last_stamp
from positions
where (positions.group_name, positions.topic, positions.partition) = (dots.group_name, dots.topic, dots.partition);
create index dots_heard on dots (group_name, heard_ms);

-- One record that cannot be used is one dead letter, with all the roles that met it.
alter table dead_letters add column roles text[] not null default '{}';
update dead_letters d
set roles = (
    select array_agg(o.role order by o.role) from dead_letters o
    where (o.topic, o.partition, o.record_offset) = (d.topic, d.partition, d.record_offset)
);
delete from dead_letters d
using dead_letters o
where (o.topic, o.partition, o.record_offset) = (d.topic, d.partition, d.record_offset) and o.role < d.role;
alter table dead_letters drop constraint dead_letters_pkey;
alter table dead_letters drop column role;
alter table dead_letters add primary key (topic, partition, record_offset);
-- The broker's append time of the record in Unix milliseconds; null for those from before this column.
alter table dead_letters add column appended_ms bigint;
-- The numbers of facts that the worker did not know: a version that knows one of them takes the record up after all.
alter table dead_letters add column unknown_fields int[];
create index dead_letters_set_aside on dead_letters using gin (unknown_fields) where unknown_fields is not null;
