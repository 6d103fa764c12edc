-- What a service remembers of the streams it follows. Runs with search_path set to the service's own schema.
-- `partition` comes first in every key, so that the rows can be spread over machines by it; it is 0 for events.

-- How far a follower is: the stream sequence (of the stream made at `stream_created`: a new stream counts from 1 again)
-- and, for events, the producer's own position, which outlives the stream.
create table if not exists positions (
    partition int not null,
    follower text not null,
    position bigint not null default 0,
    stream_created timestamptz,
    source_position bigint not null default 0,
    moved_at timestamptz not null default now(),
    primary key (partition, follower)
) with (fillfactor = 10);

-- Which frames of a producer were seen: one range when nothing is missing, a few while a frame is late.
create table if not exists producers (
    partition int not null,
    follower text not null,
    epoch uuid not null,
    seen int8multirange not null,
    seen_at timestamptz not null default now(),
    primary key (partition, follower, epoch)
) with (fillfactor = 50);

-- Ids that clients gave to their points, so that a client's retry is not counted again.
create table if not exists items (
    partition int not null,
    follower text not null,
    id bytea not null,
    received timestamptz not null,
    primary key (partition, follower, id)
);
create index if not exists items_by_age on items (partition, follower, received);

-- Messages that could not be handled, with the reason; a person looks at them and has them tried again.
create table if not exists parked (
    partition int not null,
    follower text not null,
    id bigint generated always as identity,
    stream text not null,
    sequence bigint not null,
    subject text not null,
    headers jsonb not null,
    body bytea not null,
    reason text not null,
    parked_at timestamptz not null default now(),
    announced boolean not null default false,
    replay_asked boolean not null default false,
    replayed_at timestamptz,
    primary key (partition, follower, id)
);
create index if not exists parked_to_do on parked (partition, follower)
    where not announced or (replay_asked and replayed_at is null);
