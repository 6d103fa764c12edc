-- Read models and archive of ingest. The partition comes first in every key of the data plane, so that the tables can
-- be spread over machines and no join crosses it.
create table if not exists ingest.stats (
    id uuid primary key,
    account uuid not null,
    mode text not null check (mode in ('live', 'test')),
    name text not null,
    kind text not null check (kind in ('counter', 'gauge')),
    unit text not null default '',
    description text not null default '',
    colour text not null default '',
    pinned boolean not null default false,
    created_at timestamptz not null,
    constraint stats_name unique (account, mode, name)
);
select house.protect('ingest.stats');

-- Deleted stats: points of them received before that are dropped, however late they come.
create table if not exists ingest.tombstones (
    stat uuid primary key,
    account uuid not null,
    partition smallint not null,
    mode text not null,
    name text not null,
    deleted_at timestamptz not null,
    rows_gone boolean not null default false,
    scrubbed_at timestamptz
);
create index if not exists tombstones_name on ingest.tombstones (account, mode, name);
create index if not exists tombstones_unscrubbed on ingest.tombstones (partition) where scrubbed_at is null;
create index if not exists tombstones_with_rows on ingest.tombstones (partition) where not rows_gone;
select house.protect('ingest.tombstones');

-- Points as sent, one row per stat and writer transaction: body is n times (i64, Unix microseconds, little-endian),
-- then n values (f64). first_at and last_at bound the times.
create table if not exists ingest.points (
    partition smallint not null,
    stat uuid not null,
    first_at timestamptz not null,
    last_at timestamptz not null,
    account uuid not null,
    n integer not null,
    body bytea not null
);
create index if not exists points_stat on ingest.points (partition, stat, last_at);
select house.protect('ingest.points');

-- Imports: files that people sent, and how far each is. `chunk` is the last one whose frame is on disk.
create table if not exists ingest.imports (
    id uuid primary key,
    account uuid not null,
    mode text not null,
    actor text not null,
    key uuid,
    digest bytea,
    filename text not null,
    format text not null,
    bytes bigint not null,
    state text not null check (state in ('queued', 'running', 'done', 'failed', 'cancelled')),
    created_at timestamptz not null,
    finished_at timestamptz,
    chunk integer not null default 0,
    rows bigint not null default 0,
    points bigint not null default 0,
    bad bigint not null default 0,
    errors jsonb not null default '[]',
    reason text not null default '',
    holder uuid,
    held_until timestamptz,
    constraint imports_same_file unique (account, mode, digest)
);
create index if not exists imports_open on ingest.imports (created_at) where state in ('queued', 'running');
select house.protect('ingest.imports');

-- Names of key-less tracking. `namespace` is the account that its stats belong to; `account`, once somebody has proved
-- with the claim token (SHA-256) that the name is theirs, who may look at them.
create table if not exists ingest.mvps (
    name text primary key,
    namespace uuid not null,
    claim bytea,
    account uuid,
    created_at timestamptz not null,
    claimed_at timestamptz
);
create index if not exists mvps_account on ingest.mvps (account, name);
select house.protect('ingest.mvps');

-- Accounts that were closed: their stats are deleted, and those that late points still make.
create table if not exists ingest.closures (
    account uuid primary key,
    closed_at timestamptz not null
);
select house.protect('ingest.closures');

-- The archive: every frame as it came over the bus, less the points that did not count (deleted stats, retries). The truth of the data plane; `ezstat replay` reads it.
create table if not exists ingest.frames (
    partition smallint not null,
    epoch uuid not null,
    seq bigint not null,
    received_at timestamptz not null,
    stream_seq bigint not null,
    body bytea not null,
    primary key (partition, epoch, seq)
);
alter table ingest.frames alter column body set storage external;
create index if not exists frames_received on ingest.frames using brin (received_at);
select house.protect('ingest.frames');
