"""What routes depend on: the service's context, who is asking, and how often strangers may ask."""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Request, Response

from libs.contracts.accounts import KeyFacts
from libs.http.credentials import (
    bearer,
    clear_session,
    process_of,
    same_origin,
    session_only,
    session_secret,
    set_session,
)
from libs.http.errors import BadRequest, Forbidden, NotFound
from libs.http.exchange import exchange_of
from libs.http.limits import Limit, Limiter
from libs.http.principal import Principal
from services.accounts import queries
from services.accounts.api import shapes
from services.accounts.application.context import Context
from services.accounts.application.signing import ABSOLUTE, SignedIn, leave_behind

_OWN_PATH = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]*")

OwnPage = Depends(same_origin)
"""For routes that sign somebody in: another website can't make a browser do it."""


@dataclass(frozen=True)
class Here:
    """A request's side of the service: commands take `context`, `client` is what the browser says of itself."""

    context: Context
    limiter: Limiter
    address: str
    client: str

    async def limit(self, kind: str, email: str = "") -> None:
        """Strangers may try so often a minute from one address, and so often for one e-mail. Raises `TooMany`."""
        limit = Limit(self.context.settings.login_rate, 60)
        await self.limiter.check(f"{kind}-address", self.address, limit)
        if email:
            digest = hashlib.sha256(email.strip().lower().encode()).hexdigest()
            await self.limiter.check(f"{kind}-email", digest, limit)


def _here(request: Request) -> Here:
    return Here(
        context=request.app.state.accounts,
        limiter=process_of(request).limiter,
        address=exchange_of(request).client,
        client=request.headers.get("user-agent", ""),
    )


async def _person(principal: Annotated[Principal, Depends(session_only)]) -> KeyFacts:
    return principal.facts


async def _account_key(principal: Annotated[Principal, Depends(bearer("account"))]) -> KeyFacts:
    return principal.facts


async def _insider(principal: Annotated[Principal, Depends(bearer(""))]) -> KeyFacts:
    """Any person of the account, or a key that may run it; not a key that only sends or reads points."""
    if principal.facts.user is None and "account" not in principal.facts.scopes:
        raise Forbidden
    return principal.facts


HereNow = Annotated[Here, Depends(_here)]
Person = Annotated[KeyFacts, Depends(_person)]
AccountKey = Annotated[KeyFacts, Depends(_account_key)]
Insider = Annotated[KeyFacts, Depends(_insider)]


async def signed_in(
    here: Here, request: Request, response: Response, done: SignedIn, next_path: str = "/"
) -> shapes.SignedInOut:
    """Set the cookie, and say who one is now."""
    async with here.context.database.house() as cursor:
        user, account = await queries.user(cursor, done.user), await queries.account(cursor, done.account)
        memberships = await queries.memberships(cursor, done.user)
    role = next((each.role for each in memberships if each.account == done.account), None)
    if user is None or account is None or role is None:
        raise NotFound
    old = session_secret(request)
    if old is not None:
        await leave_behind(here.context, old.decode("latin-1"))
    set_session(response, request, done.secret, int(ABSOLUTE))
    return shapes.SignedInOut(
        user=shapes.UserOut.of(user), account=shapes.AccountOut.of(account), role=role, next=next_path
    )


def signed_out(response: Response) -> None:
    clear_session(response)


def own_path(text: str | None) -> str:
    """A path on this site to go to; everything that could lead elsewhere becomes `/`."""
    return text if text and _OWN_PATH.fullmatch(text) else "/"


def pending(dropped: bool) -> Response:
    """204 when a revocation is known everywhere, 202 when some server could not be asked yet."""
    if dropped:
        return Response(status_code=204)
    return Response('{"status":"pending"}', status_code=202, media_type="application/json")


def seconds(moment: datetime | None) -> float | None:
    """Unix seconds of a moment in a body. Raises `BadRequest` for one without a time zone."""
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise BadRequest("a moment needs a time zone, such as 2026-12-31T23:59:59Z", param="expires_at")
    return moment.timestamp()


Answers = dict[int | str, dict[str, Any]]
REFUSED: Answers = {"4XX": {"model": shapes.ErrorOut, "description": "Refused; `error.code` says why."}}
GONE: Answers = {202: {"model": shapes.Pending}, 204: {"description": "Dead everywhere."}}
