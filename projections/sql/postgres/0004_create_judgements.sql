-- How far each decision has come, from the first word of it to its one effect.
create type judgement_state as enum ('held', 'open', 'awaiting_approval', 'effective', 'rejected');

-- The events are kept as bytes until the decision has come to its end; the log holds them for ever.
create table judgements (
    decision_id text primary key,
    subject     text not null,
    -- Of ai.decisions.v1: whoever has claimed it rules on the decision.
    partition   int not null,
    state       judgement_state not null,
    -- When it is to be ruled on again, in Unix milliseconds.
    due_ms      bigint,
    request     bytea,
    proposal    bytea,
    approval    bytea,
    -- What the log holds already, as bits: 1 expired, 2 rejected, 4 approval requested.
    told        int not null default 0
);

create index judgements_due on judgements (partition, due_ms) where due_ms is not null;
create index judgements_awaiting on judgements (due_ms) where state = 'awaiting_approval';

-- The highest version of the world that has been read.
create table world_versions (
    only_one boolean primary key default true check (only_one),
    version  bigint not null
);

-- Where decisions were made without this table, those that had been asked for were answered without it: what the fold
-- has read of the requests is not asked again.
insert into positions (group_name, topic, partition, next_offset, epoch)
select 'norn-decide', topic, partition, next_offset, 0
from positions
where group_name = 'norn-fold' and topic like 'ai.requests.%'
    and exists (select from positions where group_name = 'norn-decide')
on conflict do nothing;
