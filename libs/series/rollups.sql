-- Minute and hour rollups of a service; ezstat's migrate replaces {schema}.
create table if not exists {schema}.minutes (
    partition smallint not null,
    stat uuid not null,
    bucket timestamptz not null,
    account uuid not null,
    n bigint not null,
    sum float8 not null,
    min float8 not null,
    max float8 not null,
    last float8 not null,
    last_at timestamptz not null,
    primary key (partition, stat, bucket)
) with (fillfactor = 70);

create table if not exists {schema}.hours (
    partition smallint not null,
    stat uuid not null,
    bucket timestamptz not null,
    account uuid not null,
    n bigint not null,
    sum float8 not null,
    min float8 not null,
    max float8 not null,
    last float8 not null,
    last_at timestamptz not null,
    primary key (partition, stat, bucket)
) with (fillfactor = 70);

select house.protect('{schema}.minutes');
select house.protect('{schema}.hours');
