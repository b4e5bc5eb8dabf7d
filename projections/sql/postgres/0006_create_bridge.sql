-- One life of a game server's process, as the bridge knows it: which of its events have come, and the last dot that it
-- was given in each partition.
create table bridge_clients (
    client   text primary key,
    origin   text not null unique,
    last     bigint not null default 0,
    holes    int8multirange not null default '{}',
    dots     jsonb not null default '{}',
    stamp    bigint not null default 0,
    began_at timestamptz not null default now()
);

-- Events that the bridge has taken and the broker has not yet acknowledged, byte for byte as they are sent.
create table bridge_outbox (
    number    bigint generated always as identity primary key,
    client    text not null,
    sequence  bigint not null,
    topic     text not null,
    partition int not null,
    key       bytea not null,
    value     bytea not null,
    taken_at  timestamptz not null default now()
);
create index bridge_outbox_client on bridge_outbox (client, number);

-- The first that was said of each decision: what whoever says more is answered with.
create table bridge_completions (
    decision_id text primary key,
    outcome     text not null,
    detail      text not null,
    server      text not null
);
