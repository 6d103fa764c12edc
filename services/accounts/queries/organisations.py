"""Accounts, members, invitations."""

from datetime import datetime
from typing import LiteralString
from uuid import UUID

import msgspec

from libs.contracts.accounts import Role
from services.accounts.queries.reading import Cursor, all_rows, one_row


class AccountRow(msgspec.Struct, frozen=True, kw_only=True):
    account: UUID
    name: str
    timezone: str
    joiner: str
    first: bool
    unlimited: bool
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


_ACCOUNTS: LiteralString = "select account, name, timezone, joiner, first, unlimited, created_at from accounts.accounts"


_INVITATIONS: LiteralString = "select id, account, email, role, invited_at, expires_at from accounts.invitations"


async def account(cursor: Cursor, id_: UUID) -> AccountRow | None:
    return await one_row(cursor, AccountRow, _ACCOUNTS + " where account = %s", id_)


async def first_account(cursor: Cursor) -> AccountRow | None:
    return await one_row(cursor, AccountRow, _ACCOUNTS + " where first")


async def has_members(cursor: Cursor, id_: UUID) -> bool:
    await cursor.execute("select exists (select from accounts.members where account = %s)", (id_,))
    return await cursor.fetchone() == (True,)


async def members(cursor: Cursor, id_: UUID) -> list[MemberRow]:
    return await all_rows(
        cursor,
        MemberRow,
        "select user_id, email, role, joined_at from accounts.members where account = %s order by joined_at, user_id",
        id_,
    )


async def invitations(cursor: Cursor, id_: UUID) -> list[InvitationRow]:
    return await all_rows(cursor, InvitationRow, _INVITATIONS + " where account = %s order by invited_at, id", id_)


async def invitation(cursor: Cursor, digest: bytes) -> InvitationRow | None:
    return await one_row(cursor, InvitationRow, _INVITATIONS + " where digest = %s and expires_at > now()", digest)


async def memberships(cursor: Cursor, user: UUID) -> list[MembershipRow]:
    """The accounts a person belongs to, the oldest membership first."""
    return await all_rows(
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
