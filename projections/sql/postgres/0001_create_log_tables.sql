-- Where each group stands in the log. The epoch fences a worker that has lost a partition without noticing.
create table positions (
    group_name  text not null,
    topic       text not null,
    partition   int not null,
    next_offset bigint not null,
    epoch       bigint not null,
    events      bigint not null default 0,
    folded_at   timestamptz,
    last_stamp  bigint not null default 0,
    primary key (group_name, topic, partition)
);

-- What has been had of each producer's life: the last number, and the numbers missing below it.
create table dots (
    group_name text not null,
    topic      text not null,
    partition  int not null,
    origin     text not null,
    last       bigint not null,
    holes      int8multirange not null default '{}',
    duplicates bigint not null default 0,
    primary key (group_name, topic, partition, origin)
);

-- Records that could not be decoded, folded or stored, kept whole.
create table dead_letters (
    topic         text not null,
    partition     int not null,
    record_offset bigint not null,
    role          text not null,
    reason        text not null,
    detail        text not null,
    key           bytea,
    value         bytea,
    found_at      timestamptz not null default now(),
    published     boolean not null default false,
    primary key (topic, partition, record_offset, role)
);

-- The range of the log that an insert into a store without our transactions is about to carry.
create table ranges (
    group_name text not null,
    topic      text not null,
    partition  int not null,
    low        bigint not null,
    high       bigint not null,
    token      text not null,
    primary key (group_name, topic, partition)
);
