"""Keys of every kind: listed masked, made, regenerated, revoked."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from libs.contracts.accounts import KeyFacts, KeyKind
from libs.http.errors import NotFound
from services.accounts import queries
from services.accounts.api import bodies, shapes
from services.accounts.api.here import GONE, REFUSED, AccountKey, HereNow, Person, pending, seconds
from services.accounts.api.meaning import Meaningful
from services.accounts.api.paging import Cursor, Limit, after, place
from services.accounts.application import keys
from services.accounts.application.context import Context

router = APIRouter(prefix="/api/v1/auth", route_class=Meaningful, tags=["keys"], responses=REFUSED)

Dead = Annotated[bool, Query(description="Revoked ones too.")]


async def _list(
    context: Context,
    caller: KeyFacts,
    kind: KeyKind,
    cursor: str | None,
    limit: int,
    revoked: bool,
    user: UUID | None = None,
) -> tuple[list[shapes.KeyOut], str | None]:
    async with context.database.tenant(caller.account) as transaction:
        rows = await queries.keys(transaction, (kind,), user_id=user, revoked=revoked, after=place(cursor), limit=limit)
    last = rows[-1] if rows else None
    return [shapes.KeyOut.of(row) for row in rows], after(
        rows, limit, last.created_at if last else None, last.id if last else None
    )


async def _row(context: Context, caller: KeyFacts, id_: UUID) -> queries.KeyRow:
    async with context.database.tenant(caller.account) as transaction:
        row = await queries.key(transaction, id_)
    if row is None:
        raise NotFound
    return row


async def _shown(context: Context, caller: KeyFacts, issued: keys.Issued) -> shapes.IssuedKeyOut:
    shown: shapes.IssuedKeyOut = shapes.IssuedKeyOut.of(await _row(context, caller, issued.id), key=issued.secret)
    return shown


async def _revoke(context: Context, caller: KeyFacts, id_: UUID, kinds: Sequence[KeyKind]) -> Response:
    return pending(await keys.revoke(context, caller, id_, kinds))


@router.get("/api-keys")
async def list_api_keys(
    here: HereNow, caller: AccountKey, limit: Limit = 100, cursor: Cursor = None, revoked: Dead = False
) -> shapes.ApiKeys:
    """Account keys, the newest first, masked."""
    found, next_cursor = await _list(here.context, caller, "account", cursor, limit, revoked)
    return shapes.ApiKeys(api_keys=found, next_cursor=next_cursor)


@router.post("/api-keys", status_code=201)
async def create_api_key(here: HereNow, caller: AccountKey, body: bodies.NewKey) -> shapes.IssuedKeyOut:
    """Make an account key. The whole key is in this answer and nowhere else."""
    issued = await keys.issue_account_key(
        here.context,
        caller,
        body.name,
        mode=body.mode,
        style=body.style,
        scopes=body.scopes,
        expires_at=seconds(body.expires_at),
    )
    return await _shown(here.context, caller, issued)


@router.delete("/api-keys/{key_id}", status_code=204, responses=GONE)
async def revoke_api_key(here: HereNow, caller: AccountKey, key_id: UUID) -> Response:
    """Revoke an account key. After a 204 no request with it is accepted anywhere."""
    return await _revoke(here.context, caller, key_id, ("account",))


@router.get("/tokens")
async def list_tokens(
    here: HereNow, caller: Person, limit: Limit = 100, cursor: Cursor = None, revoked: Dead = False
) -> shapes.Tokens:
    """Your own user tokens, the newest first, masked."""
    found, next_cursor = await _list(here.context, caller, "user_token", cursor, limit, revoked, caller.user)
    return shapes.Tokens(tokens=found, next_cursor=next_cursor)


@router.post("/tokens", status_code=201)
async def create_token(here: HereNow, caller: Person, body: bodies.NewToken) -> shapes.IssuedKeyOut:
    """Make a user token, which acts for you on websites. Shown this once."""
    issued = await keys.issue_user_token(here.context, caller, body.name, seconds(body.expires_at))
    return await _shown(here.context, caller, issued)


@router.post("/tokens/{key_id}/regenerate", status_code=201)
async def regenerate_token(here: HereNow, caller: Person, key_id: UUID) -> shapes.ReplacedTokenOut:
    """A new token under the same name; the old one is dead at once."""
    replaced = await keys.regenerate(here.context, caller, key_id)
    row = await _row(here.context, caller, replaced.id)
    state = "revoked" if replaced.dropped else "pending"
    shown: shapes.ReplacedTokenOut = shapes.ReplacedTokenOut.of(row, key=replaced.secret, old_token=state)
    return shown


@router.delete("/tokens/{key_id}", status_code=204, responses=GONE)
async def revoke_token(here: HereNow, caller: Person, key_id: UUID) -> Response:
    """Revoke one of your tokens. After a 204 no request with it is accepted anywhere."""
    return await _revoke(here.context, caller, key_id, ("user_token",))


@router.get("/read-keys")
async def list_read_keys(
    here: HereNow, caller: AccountKey, limit: Limit = 100, cursor: Cursor = None, revoked: Dead = False
) -> shapes.ReadKeys:
    """Read keys, the newest first, masked."""
    found, next_cursor = await _list(here.context, caller, "read", cursor, limit, revoked)
    return shapes.ReadKeys(read_keys=found, next_cursor=next_cursor)


@router.post("/read-keys", status_code=201)
async def create_read_key(here: HereNow, caller: AccountKey, body: bodies.NewToken) -> shapes.IssuedKeyOut:
    """Make a key that reads all websites of the account. Shown this once."""
    issued = await keys.issue_read_key(here.context, caller, body.name, seconds(body.expires_at))
    return await _shown(here.context, caller, issued)


@router.delete("/read-keys/{key_id}", status_code=204, responses=GONE)
async def revoke_read_key(here: HereNow, caller: AccountKey, key_id: UUID) -> Response:
    """Revoke a read key. After a 204 no request with it is accepted anywhere."""
    return await _revoke(here.context, caller, key_id, ("read",))


@router.get("/ez-keys")
async def list_ez_keys(
    here: HereNow, caller: AccountKey, limit: Limit = 100, cursor: Cursor = None, revoked: Dead = False
) -> shapes.EzKeys:
    """Adopted EZ keys, the newest first, masked."""
    found, next_cursor = await _list(here.context, caller, "ez", cursor, limit, revoked)
    return shapes.EzKeys(ez_keys=found, next_cursor=next_cursor)


@router.post("/ez-keys", status_code=201)
async def adopt_ez_key(here: HereNow, caller: AccountKey, body: bodies.NewEzKey) -> shapes.IssuedKeyOut:
    """Go on using a StatHat EZ key: old clients need one changed host and nothing else."""
    await here.limit("adopt")
    issued = await keys.adopt_ez_key(here.context, caller, body.name, body.key)
    return await _shown(here.context, caller, issued)


@router.delete("/ez-keys/{key_id}", status_code=204, responses=GONE)
async def revoke_ez_key(here: HereNow, caller: AccountKey, key_id: UUID) -> Response:
    """Let an adopted EZ key go. After a 204 nothing sent with it is counted."""
    return await _revoke(here.context, caller, key_id, ("ez",))
