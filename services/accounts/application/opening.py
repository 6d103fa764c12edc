"""How an account begins: by sign-up, by the set-up link, or by the operator's own key."""

import hmac
from dataclasses import dataclass
from uuid import UUID
from zoneinfo import available_timezones

from libs.eventstore.store import Conflict, StaleAggregate
from services.accounts import queries
from services.accounts.application.context import Also, Context
from services.accounts.application.signing import SignedIn, start_session
from services.accounts.domain import Account, Invalid, Refused, User, check_password, clean_email, clean_label

_TRIES = 3


class SetupRefused(Exception):
    """The set-up link is wrong or used; the answer does not say which."""


@dataclass(frozen=True, kw_only=True)
class Newcomer:
    """Who wants in: already cleaned."""

    email: str
    organisation: str
    timezone: str


def newcomer(email: str, organisation: str | None, timezone: str | None) -> Newcomer:
    """Raises `Invalid`. Without a name the account is called after the person."""
    email = clean_email(email)
    name = clean_label("organisation", organisation or email.partition("@")[0])
    return Newcomer(email=email, organisation=name, timezone=clean_timezone(timezone or "UTC"))


def clean_timezone(name: str) -> str:
    if name not in available_timezones():
        raise Invalid("timezone", "a time zone is a name such as Europe/Berlin")
    return name


async def sign_up(context: Context, who: Newcomer, password: str, client: str) -> SignedIn:
    """A new person with an account of their own, signed in.

    The very first person of an installation becomes the owner of the operator's account. Raises `Invalid`, and
    `Refused` (`email_taken`).
    """
    check_password(password)
    return await register(context, who, await context.passwords.hash(password), client, verified=False)


async def set_up(context: Context, token: str, who: Newcomer, password: str, client: str) -> SignedIn:
    """The one-time link of the first start: its bearer owns the first account. Raises `SetupRefused`, `Invalid`."""
    if not hmac.compare_digest(token.encode(), setup_token(context).encode()) or not await is_unclaimed(context):
        raise SetupRefused
    check_password(password)
    return await register(context, who, await context.passwords.hash(password), client, verified=True)


def setup_token(context: Context) -> str:
    """The same at every start, so that it can be shown again; worth nothing once the first account has an owner."""
    return context.settings.derive_text("set-up-link")


async def is_unclaimed(context: Context) -> bool:
    """Whether nobody owns the first account yet."""
    async with context.database.house() as cursor:
        first = await queries.first_account(cursor)
        return first is None or not await queries.has_members(cursor, first.account)


async def register(
    context: Context, who: Newcomer, password_hash: str, client: str, *, verified: bool, also: Also | None = None
) -> SignedIn:
    """User, account and session in one transaction. Raises `Refused` (`email_taken`)."""
    for _ in range(_TRIES):
        account = await _claim_or_open(context, who)
        # Nobody but the operator reads the first account's mails: being there is proof enough.
        user = User(email=who.email, password_hash=password_hash, verified=verified or account.first)
        account.join(user.id, who.email, "owner")
        session, secret = start_session(context, account.id, user.id, client)
        try:
            await context.store.save(user, account, session, also=also)
        except Conflict as conflict:
            if conflict.constraint == "users_email":
                raise Refused("email_taken", "there is a user with this address already") from None
            if conflict.constraint != "accounts_first":
                raise
        except StaleAggregate:
            continue
        else:
            return SignedIn(secret=secret, session=session.id, user=user.id, account=account.id)
    raise Refused("busy", "several people signed up at once; try again")


async def _claim_or_open(context: Context, who: Newcomer) -> Account:
    async with context.database.house() as cursor:
        first = await queries.first_account(cursor)
    if first is not None:
        account: Account = await context.store.get(first.account)
        if not account.members:
            account.change_settings(who.organisation, who.timezone, "~", "system")
            return account
    return Account(name=who.organisation, timezone=who.timezone, first=first is None, unlimited=False)


async def ensure_first_account(context: Context, *, open_anyway: bool = False) -> UUID | None:
    """With a self-hosted key the first account exists before anybody signed up, without limits. Returns its id.

    Without such a key it is only opened when asked for.
    """
    async with context.database.house() as cursor:
        first = await queries.first_account(cursor)
    if first is not None:
        return first.account
    self_hosted = bool(context.settings.api_key)
    if not self_hosted and not open_anyway:
        return None
    account = Account(name="EzStat", timezone="UTC", first=True, unlimited=self_hosted)
    try:
        await context.store.save(account)
    except Conflict:
        return await ensure_first_account(context)  # another process was faster
    return account.id


async def ensure_first_user(context: Context) -> None:
    """The first user that the environment names, while the first account has none."""
    settings = context.settings
    if not (settings.admin_email and settings.admin_password) or not await is_unclaimed(context):
        return
    who = newcomer(settings.admin_email, None, None)
    check_password(settings.admin_password)
    password_hash = await context.passwords.hash(settings.admin_password)
    try:
        await register(context, who, password_hash, "first start", verified=True)
    except Refused:
        return  # another process was faster
