-- What every service's tables share: who may see which row. Safe to run again.
create schema if not exists house;

create table if not exists house.migrations (
    service text primary key,
    digest text not null,
    at timestamptz not null default now()
);

-- The account that this transaction acts for; null when it acts for all or for none.
create or replace function house.account() returns uuid language sql stable parallel safe as $$
    select case when coalesce(current_setting('ezstat.account', true), '') in ('', '*') then null
                else current_setting('ezstat.account', true)::uuid end
$$;

create or replace function house.everyone() returns boolean language sql stable parallel safe as $$
    select coalesce(current_setting('ezstat.account', true), '') = '*'
$$;

-- Row-level security for a table: the app role sees the rows of its transaction's account, or all when the transaction
-- says '*'; a table without a column `account` only opens for '*'. Workers see everything.
-- Does nothing when the table is already so: ALTER TABLE would wait for, and then block, everything running on it.
create or replace function house.protect(target regclass) returns void language plpgsql as $$
declare
    has_account boolean := exists (
        select from pg_attribute where attrelid = target and attname = 'account' and atttypid = 'uuid'::regtype
        and not attisdropped);
    -- Sub-selects make each call happen once per statement, not once per row.
    rule text := case when has_account
        then '((account = (select house.account())) or (select house.everyone()))' else '(select house.everyone())' end;
    wanted text := case when has_account then 'app_by_account' else 'app_everyone' end;
begin
    execute format('grant select, insert, update, delete on %s to ezstat_app, ezstat_worker', target);
    execute format('grant truncate on %s to ezstat_worker', target);
    if (select relrowsecurity from pg_class where oid = target)
        and (select array_agg(polname::text order by polname) from pg_policy where polrelid = target) = array[wanted, 'worker']
    then
        return;
    end if;
    execute format('alter table %s enable row level security', target);
    execute format('drop policy if exists app_by_account on %s', target);
    execute format('drop policy if exists app_everyone on %s', target);
    execute format('drop policy if exists worker on %s', target);
    execute format('create policy %I on %s to ezstat_app using (%s) with check (%s)', wanted, target, rule, rule);
    execute format('create policy worker on %s to ezstat_worker using (true) with check (true)', target);
end
$$;

-- Everything in a schema, tables made by a library included: what nobody protected must not be open.
create or replace function house.protect_schema(target text) returns void language plpgsql as $$
declare
    item regclass;
begin
    execute format('grant usage on schema %I, house to ezstat_app, ezstat_worker', target);
    execute format('grant usage, select on all sequences in schema %I to ezstat_app, ezstat_worker', target);
    for item in select c.oid::regclass from pg_class c
        where c.relnamespace = target::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
    loop
        perform house.protect(item);
    end loop;
end
$$;
