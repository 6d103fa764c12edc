-- Read models of accounts: made by projections.py from events, and made again by a rebuild.
create table if not exists accounts.accounts (
    account uuid primary key,
    name text not null,
    timezone text not null,
    joiner text not null default '~' check (joiner in ('~', ' ')),
    first boolean not null,
    unlimited boolean not null,
    created_at timestamptz not null
);
-- There is one first account, the operator's, however many processes start at once.
create unique index if not exists accounts_first on accounts.accounts (first) where first;

-- A person may belong to several accounts, so that this has no account column and opens for the house only.
create table if not exists accounts.users (
    id uuid primary key,
    email text not null,
    verified boolean not null,
    password_hash text not null,
    created_at timestamptz not null,
    constraint users_email unique (email)
);

create table if not exists accounts.members (
    account uuid not null,
    user_id uuid not null,
    email text not null,
    role text not null check (role in ('owner', 'member', 'viewer')),
    joined_at timestamptz not null,
    primary key (account, user_id)
);
create index if not exists members_user on accounts.members (user_id);

create table if not exists accounts.invitations (
    id uuid primary key,
    account uuid not null,
    email text not null,
    role text not null,
    digest bytea not null,
    invited_at timestamptz not null,
    expires_at timestamptz not null,
    constraint invitations_digest unique (digest)
);
create index if not exists invitations_account on accounts.invitations (account, email);

-- Keys of every kind but sessions; revoked ones stay, to be shown. No two live keys share a secret, in any account.
create table if not exists accounts.keys (
    id uuid primary key,
    account uuid not null,
    kind text not null,
    name text not null,
    digest bytea not null,
    hint text not null,
    mode text not null check (mode in ('live', 'test')),
    scopes text[] not null,
    user_id uuid,
    site uuid,
    created_at timestamptz not null,
    expires_at timestamptz,
    revoked_at timestamptz
);
create unique index if not exists keys_digest on accounts.keys (digest) where revoked_at is null;
create index if not exists keys_account on accounts.keys (account, kind, created_at);

create table if not exists accounts.sessions (
    id uuid primary key,
    account uuid not null,
    user_id uuid not null,
    digest bytea not null,
    client text not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    constraint sessions_digest unique (digest)
);
create index if not exists sessions_user on accounts.sessions (user_id);

-- Who did what: own events by projection (source 'accounts'), other services' by reactions.py.
create table if not exists accounts.audit (
    id bigint generated always as identity primary key,
    account uuid not null,
    at timestamptz not null,
    source text not null,
    actor text,
    action text not null,
    target uuid,
    detail jsonb not null default '{}'
);
create index if not exists audit_account on accounts.audit (account, at desc, id desc);
create index if not exists audit_source on accounts.audit (source);

-- State that is not history and that a rebuild leaves alone.

-- When keys and sessions were last used, as rings tell once a minute.
create table if not exists accounts.uses (
    key_id uuid primary key,
    account uuid not null,
    at timestamptz not null
) with (fillfactor = 70);

-- Rings that may hold keys. One that is not here was never given any.
create table if not exists accounts.rings (
    ring text primary key,
    seen_at timestamptz not null default now()
) with (fillfactor = 50);

-- What was asked for without being signed in. The answer is the same and as quick whoever asks; a worker finds out later
-- whether there is such a person.
create table if not exists accounts.errands (
    id uuid primary key,
    kind text not null check (kind in ('reset', 'sign_up', 'verify')),
    email text not null,
    password_hash text,
    organisation text,
    timezone text,
    at timestamptz not null default now()
);

-- One-time links that were sent out by mail.
create table if not exists accounts.tickets (
    digest bytea primary key,
    purpose text not null check (purpose in ('reset', 'sign_up', 'verify')),
    user_id uuid,
    email text not null,
    password_hash text,
    organisation text,
    timezone text,
    expires_at timestamptz not null
);
create index if not exists tickets_expire on accounts.tickets (expires_at);
create index if not exists tickets_email on accounts.tickets (email);

-- Mails to send; without SMTP they stay here for the operator to read.
create table if not exists accounts.mails (
    id uuid primary key,
    recipient text not null,
    subject text not null,
    body text not null,
    created_at timestamptz not null default now(),
    next_try_at timestamptz not null default now(),
    tries integer not null default 0,
    sent_at timestamptz,
    failed_at timestamptz,
    last_error text
);
create index if not exists mails_due on accounts.mails (next_try_at) where sent_at is null and failed_at is null;
create index if not exists mails_recipient on accounts.mails (recipient);
