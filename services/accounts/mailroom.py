"""The worker's side of mail: letters that were asked for are written, letters in the outbox are sent."""

import asyncio
import logging
from uuid import UUID

from libs.eventstore.database import Database, DatabaseUnavailable
from libs.outbound.mail import Mail, Mailer, MailError
from services.accounts.application.context import Context
from services.accounts.application.errands import run_errands

log = logging.getLogger("ezstat.accounts.mail")

_PAUSE = 1.0  # seconds between looks
_AT_ONCE = 20
# A worker that dies while it sends leaves the mail to be tried again after this; the message id stays the same.
_LEASE = "2 minutes"
_TRIES = 8  # over about two days


async def run_mailroom(context: Context, mailer: Mailer | None) -> None:
    """For ever: errands into letters, letters to the mail server. Without one they stay for the operator to read."""
    while True:
        try:
            await run_errands(context)
            if mailer is not None:
                await send_due(context.database, mailer)
        except DatabaseUnavailable:
            log.warning("Postgres is away: mails wait")
        await asyncio.sleep(_PAUSE)


async def send_due(database: Database, mailer: Mailer) -> int:
    """Send what is due, one after the other; returns how many were tried."""
    async with database.house() as cursor:
        await cursor.execute(
            "update accounts.mails set tries = tries + 1, next_try_at = now() + %s::interval where id in"
            " (select id from accounts.mails where sent_at is null and failed_at is null and next_try_at <= now()"
            " order by next_try_at limit %s for update skip locked) returning id, recipient, subject, body, tries",
            (_LEASE, _AT_ONCE),
        )
        due = await cursor.fetchall()
    for id_, recipient, subject, body, tries in due:
        try:
            await mailer.send(Mail(to=recipient, subject=subject, text=body), message_id=str(id_))
        except MailError as error:
            await _failed(database, id_, tries, error)
        else:
            await _sent(database, id_)
    return len(due)


async def _sent(database: Database, id_: UUID) -> None:
    # The text holds a link that opens an account: it is kept no longer than needed.
    async with database.house() as cursor:
        await cursor.execute(
            "update accounts.mails set sent_at = now(), body = '', last_error = null where id = %s", (id_,)
        )


async def _failed(database: Database, id_: UUID, tries: int, error: MailError) -> None:
    log.warning("a mail could not be sent (try %d): %s", tries, error.reason)
    given_up = error.permanent or tries >= _TRIES
    async with database.house() as cursor:
        await cursor.execute(
            "update accounts.mails set last_error = %s, next_try_at = now() + %s * interval '1 second',"
            " failed_at = case when %s then now() end where id = %s",
            (error.reason, 30 * 4 ** (tries - 1), given_up, id_),
        )
