"""Signing in and out."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import Cursor

from libs.contracts.accounts import KeyFacts
from libs.eventstore.store import NotFound
from services.accounts import queries, secrets
from services.accounts.application.context import Also, Context, actor, change, hexdigest
from services.accounts.domain import Account, Invalid, Session, User, check_password, clean_email

ABSOLUTE = 30 * 86_400.0  # seconds after which a session ends, used or not


class WrongCredentials(Exception):
    """No such person, or not their password; the answer never says which."""


@dataclass(frozen=True, kw_only=True)
class SignedIn:
    """`secret` is the value of the session cookie; nobody can read it again."""

    secret: str
    session: UUID
    user: UUID
    account: UUID


def start_session(context: Context, account: UUID, user: UUID, client: str) -> tuple[Session, str]:
    """A new session and its secret; the caller saves it. `client` is what the browser says of itself."""
    secret = secrets.session_secret()
    session = Session(
        account=account,
        user=user,
        digest=hexdigest(secret),
        client=_printable(client)[:200],
        expires_at=context.clock.now() + ABSOLUTE,
    )
    return session, secret


async def sign_in(context: Context, email: str, password: str, client: str, account: UUID | None = None) -> SignedIn:
    """A session in `account`, or in the first that the person belongs to. Raises `WrongCredentials`.

    Known and unknown addresses cost the same work.
    """
    user = await _find_user(context, email)
    right = await context.passwords.verify(password, user.password_hash if user else None)
    if user is None or not right:
        raise WrongCredentials
    kept = user.password_hash
    if context.passwords.outdated(kept):
        kept = await context.passwords.hash(password)
        await change(context, user.id, lambda known: known.change_password(kept))
    return await _open_session(context, user.id, user.email, client, account, _still(user.id, kept))


async def _find_user(context: Context, email: str) -> queries.UserRow | None:
    try:
        address = clean_email(email)
    except Invalid:
        address = ""  # nobody has it, and finding that out takes as long as for any other
    async with context.database.house() as cursor:
        return await queries.user_by_email(cursor, address)


def _still(user: UUID, password_hash: str) -> Also:
    """Refuses the commit when the password was changed since it was verified.

    The row is locked until the session is there: whoever changes the password either waits and then ends this session
    with the others, or was first.
    """

    def check(cursor: Cursor[Any]) -> None:
        found = cursor.execute(
            "select from accounts.users where id = %s and password_hash = %s for share", (user, password_hash)
        )
        if found.fetchone() is None:
            raise WrongCredentials

    return check


async def _open_session(
    context: Context, user: UUID, email: str, client: str, account: UUID | None, also: Also
) -> SignedIn:
    async with context.database.house() as cursor:
        belongs_to = [membership.account for membership in await queries.memberships(cursor, user)]
    if account is None or account not in belongs_to:
        account = belongs_to[0] if belongs_to else None
    if account is None:
        return await _start_over(context, user, email, client, also)
    session, secret = start_session(context, account, user, client)
    await context.store.save(session, also=also)
    return SignedIn(secret=secret, session=session.id, user=user, account=account)


async def _start_over(context: Context, user: UUID, email: str, client: str, also: Also) -> SignedIn:
    """Who was removed from the last account they were in gets an empty one of their own."""
    account = Account(name=email.partition("@")[0], timezone="UTC", first=False, unlimited=False)
    account.join(user, email, "owner")
    session, secret = start_session(context, account.id, user, client)
    await context.store.save(account, session, also=also)
    return SignedIn(secret=secret, session=session.id, user=user, account=account.id)


async def switch(context: Context, caller: KeyFacts, account: UUID, client: str) -> SignedIn:
    """A new session of the same person in another of their accounts; the old one ends. Raises `NotFound`."""
    user = _person(caller)
    async with context.database.house() as cursor:
        belongs_to = [membership.account for membership in await queries.memberships(cursor, user)]
    if account not in belongs_to:
        raise NotFound(str(account))
    session, secret = start_session(context, account, user, client)
    await context.store.save(session)
    await end_session(context, caller.key_id, actor(caller))
    return SignedIn(secret=secret, session=session.id, user=user, account=account)


async def end_session(context: Context, session: UUID, by: str) -> bool:
    """End a session everywhere. False: some ring could not be asked to drop it yet."""
    try:
        ended: Session = await change(context, session, lambda known: known.end(by))
    except NotFound:
        return True
    return await context.barrier.drop(bytes.fromhex(ended.digest))


async def leave_behind(context: Context, secret: str) -> None:
    """End the session that a browser had when it signed in anew: nobody goes on with an older cookie."""
    async with context.database.house() as cursor:
        session = await queries.session_id(cursor, secrets.digest(secret))
    if session is not None:
        await end_session(context, session, "system")


async def end_other_sessions(context: Context, user: UUID, keep: UUID | None, by: str) -> bool:
    """End all of a person's sessions but one."""
    async with context.database.house() as cursor:
        rows = [row for row in await queries.sessions(cursor, user) if row.id != keep]
    gone: list[Session] = [await context.store.get(row.id) for row in rows]
    for session in gone:
        session.end(by)
    await context.store.save(*gone)
    return await context.barrier.drop(*(row.digest for row in rows))


async def change_password(context: Context, caller: KeyFacts, old: str, new: str) -> bool:
    """A new password; every other session of the person ends. Raises `WrongCredentials`, `Invalid`."""
    check_password(new)
    user: User = await context.store.get(_person(caller))
    if not await context.passwords.verify(old, user.password_hash):
        raise WrongCredentials
    fresh = await context.passwords.hash(new)
    await change(context, user.id, lambda known: known.change_password(fresh))
    return await end_other_sessions(context, user.id, caller.key_id, actor(caller))


def _person(caller: KeyFacts) -> UUID:
    if caller.user is None:
        raise NotFound("user")
    return caller.user


def _printable(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())
