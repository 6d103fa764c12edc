"""Letters leave over SMTP once, are tried again when that may help, and lose their links once they are sent."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from libs.outbound.mail import Mailer
from services.accounts import letters, queries
from services.accounts.application.context import Context
from services.accounts.housekeeping import sweep
from services.accounts.mailroom import send_due
from tests.libs.outbound.test_mail import Inbox, inbox

__all__ = ["inbox"]


@pytest.fixture
async def mailer(context: Context, inbox: tuple[Inbox, str]) -> AsyncIterator[Mailer]:
    async with context.database.house() as cursor:
        await cursor.execute("delete from accounts.mails")
    mailer = Mailer(inbox[1], "EzStat <ezstat@example.org>")
    yield mailer
    mailer.close()


async def put(context: Context, recipient: str) -> None:
    letter = letters.reset_password(recipient, "http://localhost:8000", "a-secret-token")
    await context.store.save(also=lambda cursor: letters.put_in_outbox(cursor, letter))


async def mail_to(context: Context, recipient: str) -> queries.MailRow:
    async with context.database.house() as cursor:
        return next(mail for mail in await queries.mails(cursor, None, 100) if mail.recipient == recipient)


async def test_a_letter_is_sent_once_and_its_link_is_forgotten(
    context: Context, mailer: Mailer, inbox: tuple[Inbox, str]
) -> None:
    await put(context, recipient := f"{uuid4().hex}@example.org")
    assert await send_due(context.database, mailer) == 1
    assert await send_due(context.database, mailer) == 0
    [arrived] = inbox[0].mails
    assert "token=a-secret-token" in arrived.get_content()
    row = await mail_to(context, recipient)
    assert row.sent_at is not None
    assert row.body == ""


async def test_a_refused_letter_is_given_up_and_one_that_met_a_busy_server_waits(
    context: Context, mailer: Mailer
) -> None:
    await put(context, "nobody@example.org")
    await put(context, "later@example.org")
    await send_due(context.database, mailer)
    refused, waiting = await mail_to(context, "nobody@example.org"), await mail_to(context, "later@example.org")
    assert refused.failed_at is not None
    assert waiting.failed_at is None
    assert "451" in (waiting.last_error or "")
    assert await send_due(context.database, mailer) == 0
    async with context.database.house() as cursor:
        await cursor.execute("update accounts.mails set next_try_at = now()")
    assert await send_due(context.database, mailer) == 1


async def test_what_is_too_old_is_swept_away(context: Context) -> None:
    async with context.database.house() as cursor:
        await cursor.execute(
            "insert into accounts.tickets (digest, purpose, email, expires_at) values"
            " ('old', 'reset', 'x', now() - interval '1 s'), ('new', 'reset', 'x', now() + interval '1 h')"
        )
    await sweep(context.database)
    async with context.database.house() as cursor:
        await cursor.execute("select digest from accounts.tickets where email = 'x'")
        assert await cursor.fetchall() == [(b"new",)]
