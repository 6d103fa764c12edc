"""Keys of every kind: issued, regenerated, revoked."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from libs.contracts.accounts import KeyFacts, KeyKind, Mode
from libs.eventstore.store import Conflict, NotFound
from services.accounts import queries, secrets
from services.accounts.application.context import Context, actor, hexdigest
from services.accounts.domain import ACCOUNT_SCOPES, SITE_SCOPES, ApiKey, Invalid, Refused, clean_label


class NotYours(Exception):
    """The caller can't give away what the caller does not have."""


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A key that was just made. `secret` is shown once."""

    id: UUID
    secret: str


@dataclass(frozen=True, kw_only=True)
class Replaced(Issued):
    """`dropped`: the old key is dead everywhere already."""

    dropped: bool


async def issue_account_key(
    context: Context,
    caller: KeyFacts,
    name: str,
    *,
    mode: Mode = "live",
    style: str = "ss",
    scopes: Sequence[str] | None = None,
    expires_at: float | None = None,
) -> Issued:
    """`ss_…` or `sk_…`. Raises `Invalid`, and `NotYours` when it could do more than its maker."""
    wanted = [scope for scope in ACCOUNT_SCOPES if scopes is None or scope in scopes]
    if scopes is not None and (not wanted or not set(scopes) <= set(ACCOUNT_SCOPES)):
        raise Invalid("scopes", f"scopes are some of {', '.join(ACCOUNT_SCOPES)}")
    if not set(wanted) <= caller.scopes or (caller.mode == "test" and mode == "live"):
        raise NotYours
    secret = secrets.account_key(mode, style)
    return await _issue(
        context, caller, "account", name, secret, mode=mode, scopes=wanted, expires_at=_later(context, expires_at)
    )


async def issue_read_key(context: Context, caller: KeyFacts, name: str, expires_at: float | None = None) -> Issued:
    """`st_…`: reads all websites of the account."""
    return await _issue(
        context,
        caller,
        "read",
        name,
        secrets.read_key(),
        scopes=[SITE_SCOPES[1]],
        expires_at=_later(context, expires_at),
    )


async def issue_user_token(context: Context, caller: KeyFacts, name: str, expires_at: float | None = None) -> Issued:
    """`ezi_sk_…`: acts for the person, with the person's role."""
    if caller.user is None:
        raise NotYours
    return await _issue(
        context,
        caller,
        "user_token",
        name,
        secrets.user_token(),
        scopes=SITE_SCOPES,
        user=caller.user,
        expires_at=_later(context, expires_at),
    )


async def adopt_ez_key(context: Context, caller: KeyFacts, name: str, secret: str) -> Issued:
    """Go on using the key one had at StatHat. Raises `Invalid`, `Refused` (`key_taken`), `NotYours`."""
    if not 8 <= len(secret) <= 255 or not secret.isprintable() or secret != secret.strip():
        raise Invalid("key", "an EZ key has 8 to 255 printable characters and no space around it")
    if secrets.has_own_format(secret):
        raise Invalid("key", "this looks like a key that was made here; use it as it is")
    if secrets.looks_like_email(secret) and not await _has_verified(context, caller, secret):
        raise Refused("email_not_yours", "only an account with this verified address may adopt it as a key")
    if context.settings.api_key and secrets.digest(secret) == secrets.digest(context.settings.api_key):
        raise Refused("key_taken", "this key is in use")
    digest = secrets.peppered(secret, context.pepper).hex()
    try:
        return await _issue(context, caller, "ez", name, secret, scopes=["stats:write"], digest=digest)
    except Conflict:
        raise Refused("key_taken", "this key is in use") from None


async def _has_verified(context: Context, caller: KeyFacts, address: str) -> bool:
    async with context.database.house() as cursor:
        user = await queries.user_by_email(cursor, address.strip().lower())
        if user is None or not user.verified:
            return False
        return any(member.user_id == user.id for member in await queries.members(cursor, caller.account))


async def regenerate(context: Context, caller: KeyFacts, token: UUID) -> Replaced:
    """A new user token under the old one's name; the old one is dead. Raises `NotFound`."""
    row = await find(context, caller, token, ("user_token",))
    old: ApiKey = await context.store.get(token)
    old.revoke(actor(caller))
    secret = secrets.user_token()
    new = ApiKey(
        account=caller.account,
        kind="user_token",
        name=old.name,
        digest=hexdigest(secret),
        hint=secrets.masked(secret),
        mode="live",
        scopes=list(SITE_SCOPES),
        user=old.user,
        site=None,
        expires_at=old.expires_at,
        actor=actor(caller),
    )
    await context.store.save(old, new)
    return Replaced(id=new.id, secret=secret, dropped=await context.barrier.drop(row.digest))


async def revoke(context: Context, caller: KeyFacts, key: UUID, kinds: Sequence[KeyKind]) -> bool:
    """Dead once this returns True; False: committed, but some ring could not be asked yet. Raises `NotFound`."""
    row = await find(context, caller, key, kinds)
    found: ApiKey = await context.store.get(key)
    found.revoke(actor(caller))
    await context.store.save(found)
    return await context.barrier.drop(row.digest)


async def find(context: Context, caller: KeyFacts, key: UUID, kinds: Sequence[KeyKind]) -> queries.KeyRow:
    """A live key of the caller's account (user tokens: of the caller). Raises `NotFound`."""
    async with context.database.tenant(caller.account) as cursor:
        row = await queries.key(cursor, key)
    mine = row is not None and row.kind in kinds and row.revoked_at is None
    if row is None or not mine or (row.kind == "user_token" and row.user_id != caller.user):
        raise NotFound(str(key))
    return row


async def _issue(
    context: Context,
    caller: KeyFacts,
    kind: KeyKind,
    name: str,
    secret: str,
    *,
    scopes: Sequence[str],
    mode: Mode = "live",
    user: UUID | None = None,
    expires_at: float | None = None,
    digest: str = "",
) -> Issued:
    key = ApiKey(
        account=caller.account,
        kind=kind,
        name=clean_label("name", name),
        digest=digest or hexdigest(secret),
        hint=secrets.masked(secret),
        mode=mode,
        scopes=list(scopes),
        user=user,
        site=None,
        expires_at=expires_at,
        actor=actor(caller),
    )
    await context.store.save(key)
    return Issued(id=key.id, secret=secret)


def _later(context: Context, expires_at: float | None) -> float | None:
    if expires_at is not None and expires_at <= context.clock.now():
        raise Invalid("expires_at", "this moment is over already")
    return expires_at
