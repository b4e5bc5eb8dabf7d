-- Since when nothing is left to do about a decision, in Unix milliseconds: what has been closed for long is forgotten.
-- For those closed already it counts from now; a default that is taken away again fills them in without a rewrite.
alter table judgements add column closed_ms bigint default (extract(epoch from now()) * 1000)::bigint;
alter table judgements alter column closed_ms drop default;
update judgements set closed_ms = null where due_ms is not null;

create index judgements_closed on judgements (partition, closed_ms) where closed_ms is not null;
