-- Stats that a service watches, {schema} being its own. Points of frames up to stream position `upto` came with the
-- history that ingest told; later ones the service's follower folds in.
create table if not exists {schema}.watched (
    partition smallint not null,
    stat uuid not null,
    account uuid not null,
    mode text not null,
    name text not null,
    upto bigint not null,
    primary key (partition, stat)
);
select house.protect('{schema}.watched');
