-- Which event of which client may call for a decision: whoever is given the answer is told by it what was asked with.
create table bridge_calls (
    event_id  text primary key,
    client    text not null,
    sequence  bigint not null,
    called_at timestamptz not null default now()
);
create index bridge_calls_old on bridge_calls (called_at);
