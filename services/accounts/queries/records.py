"""Audit log, mails, rings."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from services.accounts.queries.reading import Cursor, Place, all_rows


class AuditRow(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    at: datetime
    source: str
    actor: str | None
    action: str
    target: UUID | None
    detail: dict[str, Any]


class MailRow(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    recipient: str
    subject: str
    body: str
    created_at: datetime
    sent_at: datetime | None
    failed_at: datetime | None
    last_error: str | None


async def audit(cursor: Cursor, after: Place | None, limit: int) -> list[AuditRow]:
    """The audit log of the transaction's account, the newest first."""
    return await all_rows(
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
    return await all_rows(
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
