"""What is asked for without being signed in: answered at once and alike, done by a worker a moment later.

Whether there is a person with that address shows neither in the answer nor in the time it takes.
"""

from typing import Any
from uuid import UUID

from psycopg import Cursor

from libs.runtime.clock import uuid7
from services.accounts import letters, queries, secrets
from services.accounts.application.context import Context, change
from services.accounts.application.opening import Newcomer, register
from services.accounts.application.signing import SignedIn, end_other_sessions
from services.accounts.domain import Refused, check_password, clean_email

_RESET = "1 hour"
_CONFIRM = "1 day"
_MAILS_A_MINUTE = 3


class TicketGone(Exception):
    """A one-time link is wrong, used or too old; the answer does not say which."""


async def ask_for_reset(context: Context, email: str) -> None:
    """A mail with a link, if there is such a person."""
    await _note(context, "reset", clean_email(email))


async def ask_to_verify(context: Context, user: UUID) -> None:
    """A mail with a link that shows that a signed-in person's address is theirs."""
    async with context.database.house() as cursor:
        row = await queries.user(cursor, user)
    if row is not None and not row.verified:
        await _note(context, "verify", row.email)


async def ask_to_sign_up(context: Context, who: Newcomer, password: str) -> None:
    """Sign-up with a mail: the account is there once its link was opened. Raises `Invalid`."""
    check_password(password)
    password_hash = await context.passwords.hash(password)
    await _note(context, "sign_up", who.email, password_hash, who.organisation, who.timezone)


async def _note(
    context: Context,
    kind: str,
    email: str,
    password_hash: str | None = None,
    organisation: str | None = None,
    timezone: str | None = None,
) -> None:
    async with context.database.house() as cursor:
        await cursor.execute(
            "insert into accounts.errands (id, kind, email, password_hash, organisation, timezone)"
            " values (%s, %s, %s, %s, %s, %s)",
            (uuid7(), kind, email, password_hash, organisation, timezone),
        )


async def run_errands(context: Context) -> int:
    """Write the letters that were asked for. Returns how many errands were run."""

    def run(cursor: Cursor[Any]) -> None:
        rows = cursor.execute(
            "delete from accounts.errands where id in"
            " (select id from accounts.errands order by id limit 100 for update skip locked)"
            " returning kind, email, password_hash, organisation, timezone"
        ).fetchall()
        ran.append(len(rows))
        for row in rows:
            _run(cursor, context.settings.url, *row)

    ran: list[int] = []
    await context.store.save(also=run)
    return ran[0]


def _run(
    cursor: Cursor[Any],
    url: str,
    kind: str,
    email: str,
    password_hash: str | None,
    organisation: str | None,
    timezone: str | None,
) -> None:
    found = cursor.execute("select id from accounts.users where email = %s", (email,)).fetchone()
    user = found[0] if found else None
    if (user is None and kind != "sign_up") or _written_lately(cursor, email):
        return  # there is nobody to tell, or they were told a moment ago
    if kind == "sign_up" and user is not None:
        letters.put_in_outbox(cursor, letters.known_already(email, url))
        return
    token = secrets.one_time_token()
    # A newer link replaces an older one, so that a mailbox full of them has one that works.
    cursor.execute("delete from accounts.tickets where email = %s and purpose = %s", (email, kind))
    cursor.execute(
        "insert into accounts.tickets"
        " (digest, purpose, user_id, email, password_hash, organisation, timezone, expires_at)"
        " values (%s, %s, %s, %s, %s, %s, %s, now() + %s::interval)",
        (
            secrets.digest(token), kind, user, email, password_hash, organisation, timezone,
            _RESET if kind == "reset" else _CONFIRM,
        ),
    )  # fmt: skip
    write = {
        "reset": letters.reset_password,
        "verify": letters.verify_address,
        "sign_up": letters.confirm_sign_up,
    }[kind]
    letters.put_in_outbox(cursor, write(email, url, token))


def _written_lately(cursor: Cursor[Any], email: str) -> bool:
    """Whoever types in somebody else's address again and again does not fill their mailbox."""
    found = cursor.execute(
        "select from accounts.mails where recipient = %s and created_at > now() - interval '1 minute'"
        " having count(*) >= %s",
        (email, _MAILS_A_MINUTE),
    )
    return found.fetchone() is not None


async def reset_password(context: Context, token: str, password: str) -> bool:
    """A new password by a mailed link; all sessions of the person end. Raises `TicketGone`, `Invalid`.

    False: committed, but some ring could not be asked to drop the sessions yet.
    """
    check_password(password)
    ticket = await _redeemable(context, token, "reset")
    if ticket.user_id is None:
        raise TicketGone
    fresh = await context.passwords.hash(password)

    def decide(user: Any) -> None:
        user.change_password(fresh)
        user.verify()  # the link came by mail

    await change(context, ticket.user_id, decide, also=_redeem(token))
    return await end_other_sessions(context, ticket.user_id, None, f"user:{ticket.user_id}")


async def confirm(context: Context, token: str, client: str) -> SignedIn | None:
    """The link of a confirmation mail: opens the account and signs in, or verifies an address (`None`).

    Raises `TicketGone`.
    """
    try:
        ticket = await _redeemable(context, token, "sign_up")
    except TicketGone:
        ticket = await _redeemable(context, token, "verify")
    if ticket.user_id is not None:
        await change(context, ticket.user_id, lambda user: user.verify(), also=_redeem(token))
        return None
    who = Newcomer(email=ticket.email, organisation=ticket.organisation or "", timezone=ticket.timezone or "UTC")
    try:
        return await register(context, who, ticket.password_hash or "", client, verified=True, also=_redeem(token))
    except Refused:
        raise TicketGone from None


async def _redeemable(context: Context, token: str, purpose: str) -> queries.TicketRow:
    async with context.database.house() as cursor:
        ticket = await queries.ticket(cursor, secrets.digest(token), purpose)
    if ticket is None:
        raise TicketGone
    return ticket


def _redeem(token: str) -> Any:
    """Uses the link up in the transaction of its effect; of two at once, one finds it gone."""

    def write(cursor: Cursor[Any]) -> None:
        gone = cursor.execute("delete from accounts.tickets where digest = %s returning 1", (secrets.digest(token),))
        if gone.fetchone() is None:
            raise TicketGone

    return write
