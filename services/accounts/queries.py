"""SQL reads -> plain structs. Functions that take a `tenant` cursor see one account, the others need `house`."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, LiteralString, NamedTuple, TypeVar
from uuid import UUID

import msgspec
from psycopg import AsyncCursor
from psycopg.rows import class_row

from libs.contracts.accounts import KeyFacts, KeyKind, Mode, Role
from services.accounts.domain import SITE_SCOPES, scopes_of

IDLE = timedelta(days=14)  # a session that nobody uses ends after this

Cursor = AsyncCursor[Any]
Row = TypeVar("Row")


class AccountRow(msgspec.Struct, frozen=True, kw_only=True):
    account: UUID
    name: str
    timezone: str
    joiner: str
    first: bool
    unlimited: bool
    created_at: datetime


class UserRow(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    email: str
    verified: bool
    password_hash: str
    created_at: datetime


class MembershipRow(msgspec.Struct, frozen=True, kw_only=True):
    account: UUID
    name: str
    role: Role


class MemberRow(msgspec.Struct, frozen=True, kw_only=True):
    user_id: UUID
    email: str
    role: Role
    joined_at: datetime


class InvitationRow(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    account: UUID
    email: str
    role: Role
    invited_at: datetime
    expires_at: datetime


class KeyRow(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    kind: KeyKind
    name: str
    digest: bytes
    hint: str
    mode: Mode
    scopes: list[str]
    user_id: UUID | None
    site: UUID | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    user_id: UUID
    digest: bytes
    client: str
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None


class AuditRow(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    at: datetime
    source: str
    actor: str | None
    action: str
    target: UUID | None
    detail: dict[str, Any]


class TicketRow(msgspec.Struct, frozen=True, kw_only=True):
    """A one-time link."""

    purpose: str
    user_id: UUID | None
    email: str
    password_hash: str | None
    organisation: str | None
    timezone: str | None


class MailRow(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    recipient: str
    subject: str
    body: str
    created_at: datetime
    sent_at: datetime | None
    failed_at: datetime | None
    last_error: str | None


class Place(NamedTuple):
    """Where a page of a list ended."""

    at: datetime
    id: UUID | int


# accounts

_ACCOUNTS: LiteralString = "select account, name, timezone, joiner, first, unlimited, created_at from accounts.accounts"
_INVITATIONS: LiteralString = "select id, account, email, role, invited_at, expires_at from accounts.invitations"


async def account(cursor: Cursor, id_: UUID) -> AccountRow | None:
    return await _one(cursor, AccountRow, _ACCOUNTS + " where account = %s", id_)


async def first_account(cursor: Cursor) -> AccountRow | None:
    return await _one(cursor, AccountRow, _ACCOUNTS + " where first")


async def has_members(cursor: Cursor, id_: UUID) -> bool:
    await cursor.execute("select exists (select from accounts.members where account = %s)", (id_,))
    return await cursor.fetchone() == (True,)


async def members(cursor: Cursor, id_: UUID) -> list[MemberRow]:
    return await _all(
        cursor,
        MemberRow,
        "select user_id, email, role, joined_at from accounts.members where account = %s order by joined_at, user_id",
        id_,
    )


async def invitations(cursor: Cursor, id_: UUID) -> list[InvitationRow]:
    return await _all(cursor, InvitationRow, _INVITATIONS + " where account = %s order by invited_at, id", id_)


async def invitation(cursor: Cursor, digest: bytes) -> InvitationRow | None:
    return await _one(cursor, InvitationRow, _INVITATIONS + " where digest = %s and expires_at > now()", digest)


async def memberships(cursor: Cursor, user: UUID) -> list[MembershipRow]:
    """The accounts a person belongs to, the oldest membership first."""
    return await _all(
        cursor,
        MembershipRow,
        "select m.account, a.name, m.role from accounts.members m join accounts.accounts a using (account)"
        " where m.user_id = %s order by m.joined_at, m.account",
        user,
    )


async def lone_members(cursor: Cursor, id_: UUID) -> list[UUID]:
    """Members who belong to no other account."""
    await cursor.execute(
        "select user_id from accounts.members m where account = %s and not exists"
        " (select from accounts.members o where o.user_id = m.user_id and o.account <> m.account)",
        (id_,),
    )
    return [row[0] for row in await cursor.fetchall()]


# people

_USERS: LiteralString = "select id, email, verified, password_hash, created_at from accounts.users"


async def user_by_email(cursor: Cursor, email: str) -> UserRow | None:
    return await _one(cursor, UserRow, _USERS + " where email = %s", email)


async def user(cursor: Cursor, id_: UUID) -> UserRow | None:
    return await _one(cursor, UserRow, _USERS + " where id = %s", id_)


async def sessions(cursor: Cursor, user_id: UUID) -> list[SessionRow]:
    return await _all(
        cursor,
        SessionRow,
        "select s.id, s.user_id, s.digest, s.client, s.created_at, s.expires_at, u.at as last_used_at"
        " from accounts.sessions s left join accounts.uses u on u.key_id = s.id"
        " where s.user_id = %s and s.expires_at > now() order by s.created_at desc",
        user_id,
    )


async def ticket(cursor: Cursor, digest: bytes, purpose: str) -> TicketRow | None:
    return await _one(
        cursor,
        TicketRow,
        "select purpose, user_id, email, password_hash, organisation, timezone from accounts.tickets"
        " where digest = %s and purpose = %s and expires_at > now()",
        digest,
        purpose,
    )


# keys

_KEYS: LiteralString = (
    "select k.id, k.kind, k.name, k.digest, k.hint, k.mode, k.scopes, k.user_id, k.site, k.created_at, k.expires_at,"
    " k.revoked_at, u.at as last_used_at from accounts.keys k left join accounts.uses u on u.key_id = k.id"
)


async def keys(
    cursor: Cursor,
    kinds: Sequence[KeyKind],
    *,
    user_id: UUID | None = None,
    revoked: bool = False,
    after: Place | None = None,
    limit: int = 100,
) -> list[KeyRow]:
    """Keys of the transaction's account, the newest first; with `revoked` the dead ones too."""
    return await _all(
        cursor,
        KeyRow,
        _KEYS + " where k.account = house.account() and k.kind = any(%s) and (%s::uuid is null or k.user_id = %s)"
        " and (%s or k.revoked_at is null) and (%s::timestamptz is null or (k.created_at, k.id) < (%s, %s))"
        " order by k.created_at desc, k.id desc limit %s",
        list(kinds),
        user_id,
        user_id,
        revoked,
        after and after.at,
        after and after.at,
        after and after.id,
        limit,
    )


async def key(cursor: Cursor, id_: UUID) -> KeyRow | None:
    return await _one(cursor, KeyRow, _KEYS + " where k.id = %s", id_)


async def live_keys_of(cursor: Cursor, account_id: UUID, user_id: UUID) -> list[UUID]:
    """Ids of a person's own keys in an account."""
    await cursor.execute(
        "select id from accounts.keys where account = %s and user_id = %s and revoked_at is null", (account_id, user_id)
    )
    return [row[0] for row in await cursor.fetchall()]


async def sessions_in(cursor: Cursor, account_id: UUID, user_id: UUID) -> list[UUID]:
    """Ids of a person's sessions in an account."""
    await cursor.execute("select id from accounts.sessions where account = %s and user_id = %s", (account_id, user_id))
    return [row[0] for row in await cursor.fetchall()]


async def keys_and_sessions_ever(cursor: Cursor, account_id: UUID) -> list[UUID]:
    """Ids of every key and session that an account ever had, ended ones too, as the audit log knows them."""
    await cursor.execute(
        "select target from accounts.audit where account = %s and action in ('key.issued', 'session.started')",
        (account_id,),
    )
    return [row[0] for row in await cursor.fetchall()]


async def key_facts(cursor: Cursor, digest: bytes, peppered: bytes) -> KeyFacts | None:
    """What a presented secret is: a live key or a session, by its digest. Needs `house`."""
    await cursor.execute(
        "select k.id, k.account, k.kind, k.mode, k.scopes, k.user_id, k.site, k.expires_at, m.role, a.joiner,"
        " a.unlimited"
        " from accounts.keys k join accounts.accounts a on a.account = k.account"
        " left join accounts.members m on m.account = k.account and m.user_id = k.user_id"
        " where k.digest in (%(digest)s, %(peppered)s) and k.digest = case k.kind when 'ez' then %(peppered)s"
        " else %(digest)s end and k.revoked_at is null"
        " union all "
        "select s.id, s.account, 'session', 'live', '{}', s.user_id, null,"
        " least(s.expires_at, greatest(s.created_at, u.at) + %(idle)s), m.role, a.joiner, a.unlimited"
        " from accounts.sessions s join accounts.accounts a on a.account = s.account"
        " join accounts.members m on m.account = s.account and m.user_id = s.user_id"
        " left join accounts.uses u on u.key_id = s.id where s.digest = %(digest)s",
        {"digest": digest, "peppered": peppered, "idle": IDLE},
    )
    row = await cursor.fetchone()
    return None if row is None else _facts(*row)


def _facts(
    id_: UUID,
    account_id: UUID,
    kind: KeyKind,
    mode: Mode,
    scopes: list[str],
    user_id: UUID | None,
    site: UUID | None,
    expires_at: datetime | None,
    role: Role | None,
    joiner: Any,
    unlimited: bool,
) -> KeyFacts | None:
    if user_id is not None and role is None:
        return None  # the person is not in the account any more
    granted = frozenset(scopes)
    if kind == "session":
        granted = scopes_of(role)
    elif kind == "user_token":
        granted = scopes_of(role) & frozenset(SITE_SCOPES)
    return KeyFacts(
        key_id=id_,
        account=account_id,
        kind=kind,
        mode=mode,
        scopes=granted,
        user=user_id,
        role=role,
        site=site,
        expires_at=None if expires_at is None else expires_at.timestamp(),
        unlimited=unlimited,
        joiner=joiner,
    )


# the rest


async def audit(cursor: Cursor, after: Place | None, limit: int) -> list[AuditRow]:
    """The audit log of the transaction's account, the newest first."""
    return await _all(
        cursor,
        AuditRow,
        "select id, at, source, actor, action, target, detail from accounts.audit where account = house.account()"
        " and (%s::timestamptz is null or (at, id) < (%s, %s)) order by at desc, id desc limit %s",
        after and after.at,
        after and after.at,
        after and after.id,
        limit,
    )


async def mails(cursor: Cursor, after: Place | None, limit: int) -> list[MailRow]:
    return await _all(
        cursor,
        MailRow,
        "select id, recipient, subject, body, created_at, sent_at, failed_at, last_error from accounts.mails"
        " where %s::timestamptz is null or (created_at, id) < (%s, %s) order by created_at desc, id desc limit %s",
        after and after.at,
        after and after.at,
        after and after.id,
        limit,
    )


async def rings(cursor: Cursor) -> set[str]:
    await cursor.execute("select ring from accounts.rings")
    return {row[0] for row in await cursor.fetchall()}


async def _one(cursor: Cursor, kind: type[Row], sql: LiteralString, *parameters: Any) -> Row | None:
    found = await _all(cursor, kind, sql, *parameters)
    return found[0] if found else None


async def _all(cursor: Cursor, kind: type[Row], sql: LiteralString, *parameters: Any) -> list[Row]:
    async with cursor.connection.cursor(row_factory=class_row(kind)) as typed:
        await typed.execute(sql, parameters)
        return await typed.fetchall()
