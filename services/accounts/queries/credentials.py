"""Keys, and what a presented secret is."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

import msgspec

from libs.contracts.accounts import KeyFacts, KeyKind, Mode, Role
from services.accounts.domain import SITE_SCOPES, scopes_of
from services.accounts.queries.reading import Cursor, Place, all_rows, one_row

IDLE = timedelta(days=14)  # a session that nobody uses ends after this


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
    return await all_rows(
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
    return await one_row(cursor, KeyRow, _KEYS + " where k.id = %s", id_)


async def live_keys_of(cursor: Cursor, account_id: UUID, user_id: UUID) -> list[UUID]:
    """Ids of a person's own keys in an account."""
    await cursor.execute(
        "select id from accounts.keys where account = %s and user_id = %s and revoked_at is null", (account_id, user_id)
    )
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
