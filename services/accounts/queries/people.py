"""Users, their sessions, and one-time links."""

from datetime import datetime
from typing import LiteralString
from uuid import UUID

import msgspec

from services.accounts.queries.reading import Cursor, all_rows, one_row


class UserRow(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    email: str
    verified: bool
    password_hash: str
    created_at: datetime


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    user_id: UUID
    digest: bytes
    client: str
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None


class TicketRow(msgspec.Struct, frozen=True, kw_only=True):
    """A one-time link."""

    purpose: str
    user_id: UUID | None
    email: str
    password_hash: str | None
    organisation: str | None
    timezone: str | None


_USERS: LiteralString = "select id, email, verified, password_hash, created_at from accounts.users"


async def user_by_email(cursor: Cursor, email: str) -> UserRow | None:
    return await one_row(cursor, UserRow, _USERS + " where email = %s", email)


async def user(cursor: Cursor, id_: UUID) -> UserRow | None:
    return await one_row(cursor, UserRow, _USERS + " where id = %s", id_)


async def sessions(cursor: Cursor, user_id: UUID) -> list[SessionRow]:
    return await all_rows(
        cursor,
        SessionRow,
        "select s.id, s.user_id, s.digest, s.client, s.created_at, s.expires_at, u.at as last_used_at"
        " from accounts.sessions s left join accounts.uses u on u.key_id = s.id"
        " where s.user_id = %s and s.expires_at > now() order by s.created_at desc",
        user_id,
    )


async def session_id(cursor: Cursor, digest: bytes) -> UUID | None:
    """The session with this secret."""
    await cursor.execute("select id from accounts.sessions where digest = %s", (digest,))
    row = await cursor.fetchone()
    return row[0] if row else None


async def sessions_in(cursor: Cursor, account_id: UUID, user_id: UUID) -> list[UUID]:
    """Ids of a person's sessions in an account."""
    await cursor.execute("select id from accounts.sessions where account = %s and user_id = %s", (account_id, user_id))
    return [row[0] for row in await cursor.fetchall()]


async def ticket(cursor: Cursor, digest: bytes, purpose: str) -> TicketRow | None:
    return await one_row(
        cursor,
        TicketRow,
        "select purpose, user_id, email, password_hash, organisation, timezone from accounts.tickets"
        " where digest = %s and purpose = %s and expires_at > now()",
        digest,
        purpose,
    )
