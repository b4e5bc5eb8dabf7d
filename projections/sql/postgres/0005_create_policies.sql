-- What each policy of a group keeps from event to event, one entry a row. json, not jsonb: it keeps every text as it is.
create table policy_states (
    group_name text not null,
    policy     text not null,
    entry      text not null,
    version    int not null,
    value      json not null,
    primary key (group_name, policy, entry)
);

-- Who writes a group's publications: an origin whose events are numbered here, in the transaction of what led to them.
create table publishers (
    group_name text primary key,
    origin     text not null default gen_random_uuid()::text
);

-- The last number of a publisher's events in each partition of the log.
create table publication_lanes (
    group_name text not null,
    topic      text not null,
    partition  int not null,
    sequence   bigint not null,
    primary key (group_name, topic, partition)
);

-- Events that are certain to have happened and that the log has perhaps not been told of.
create table publications (
    group_name text not null,
    topic      text not null,
    partition  int not null,
    sequence   bigint not null,
    key        bytea not null,
    value      bytea not null,
    primary key (group_name, topic, partition, sequence)
);

-- The world's clock: what it last said, when in Unix milliseconds, and which life of a worker said it. Held, it stands.
create table world_clocks (
    group_name text primary key,
    time_ms    bigint not null,
    told_ms    bigint not null,
    told_by    text not null,
    held_until timestamptz
);
