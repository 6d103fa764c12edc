"""Members, their roles, and invitations."""

from uuid import UUID

from libs.contracts.accounts import KeyFacts, Role
from libs.eventstore.store import NotFound
from libs.runtime.clock import uuid7
from services.accounts import letters, queries, secrets
from services.accounts.application.context import Context, actor, change, hexdigest
from services.accounts.application.signing import SignedIn, start_session
from services.accounts.domain import Account, Refused, User, check_password, clean_email

_OPEN_FOR = 7 * 86_400.0  # seconds
_MOST_OPEN = 100  # invitations of an account at the same time


class InvitationGone(Exception):
    """An invitation's link is wrong, used, withdrawn or too old; the answer does not say which."""


class PasswordNeeded(Exception):
    """The invited address has a password already, and the one that was given is not it; or none was given."""


async def invite(context: Context, caller: KeyFacts, email: str, role: Role) -> UUID:
    """Ask somebody by mail to join. Raises `Invalid`, `Refused` (`already_member`, `too_many_invitations`)."""
    email, token, id_ = clean_email(email), secrets.one_time_token(), uuid7()
    account: Account = await context.store.get(caller.account)
    if len(account.invitations) >= _MOST_OPEN:
        raise Refused("too_many_invitations", f"at most {_MOST_OPEN} invitations are open at the same time")
    account.invite(id_, email, role, hexdigest(token), context.clock.now() + _OPEN_FOR, actor(caller))
    letter = letters.invitation(email, account.name, context.settings.url, token)
    await context.store.save(account, also=lambda cursor: letters.put_in_outbox(cursor, letter))
    return id_


async def withdraw(context: Context, caller: KeyFacts, invitation: UUID) -> None:
    """Raises `NotFound`."""

    def decide(account: Account) -> None:
        if invitation not in account.invitations:
            raise NotFound(str(invitation))
        account.withdraw(invitation, actor(caller))

    await change(context, caller.account, decide)


async def find_invitation(context: Context, token: str) -> queries.InvitationRow:
    """Raises `InvitationGone`."""
    async with context.database.house() as cursor:
        found = await queries.invitation(cursor, secrets.digest(token))
    if found is None:
        raise InvitationGone
    return found


async def accept(context: Context, token: str, password: str, client: str) -> SignedIn:
    """Join by the mailed link, signed in. New people choose their password; others give the one they have.

    Raises `InvitationGone`, `PasswordNeeded`, `Invalid`.
    """
    invitation = await find_invitation(context, token)
    async with context.database.house() as cursor:
        known = await queries.user_by_email(cursor, invitation.email)
    if known is None:
        check_password(password)
        password_hash = await context.passwords.hash(password)
        user = User(email=invitation.email, password_hash=password_hash, verified=True)
    else:
        if not await context.passwords.verify(password, known.password_hash):
            raise PasswordNeeded
        user = await context.store.get(known.id)
        user.verify()  # the link came by mail
    account: Account = await context.store.get(invitation.account)
    try:
        account.accept(invitation.id, user.id, invitation.email, context.clock.now())
    except Refused:
        raise InvitationGone from None
    session, secret = start_session(context, account.id, user.id, client)
    await context.store.save(user, account, session)
    return SignedIn(secret=secret, session=session.id, user=user.id, account=account.id)


async def change_role(context: Context, caller: KeyFacts, member: UUID, role: Role) -> bool:
    """Raises `NotFound`, `Refused` (`last_owner`). False: some ring still knows the old role."""

    def decide(account: Account) -> None:
        _must_be_in(account, member)
        account.change_role(member, role, actor(caller))

    await change(context, caller.account, decide)
    return await context.barrier.drop(account=caller.account)


async def remove(context: Context, caller: KeyFacts, member: UUID) -> bool:
    """A member leaves, with their sessions and tokens in this account. Raises `NotFound`, `Refused` (`last_owner`)."""
    account: Account = await context.store.get(caller.account)
    _must_be_in(account, member)
    account.remove(member, actor(caller))
    async with context.database.house() as cursor:
        keys = await queries.live_keys_of(cursor, caller.account, member)
        sessions = await queries.sessions_in(cursor, caller.account, member)
    gone = [await context.store.get(id_) for id_ in (*keys, *sessions)]
    for each in gone:
        if each.id in keys:
            each.revoke(actor(caller))
        else:
            each.end(actor(caller))
    await context.store.save(account, *gone)
    return await context.barrier.drop(account=caller.account)


def _must_be_in(account: Account, member: UUID) -> None:
    if member not in account.members:
        raise NotFound(str(member))
