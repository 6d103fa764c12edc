"""What routes depend on: the service's context, who is asking, and how often strangers may ask."""

import hashlib
import re
from dataclasses import dataclass

from fastapi import Request, Response
from libs.http.exchange import exchange_of

from libs.http.limits import Limit, Limiter
from services.accounts.application.context import Context

_OWN_PATH = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]*")


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
        limiter=request.app.state.limiter,
        address=exchange_of(request).client,
        client=request.headers.get("user-agent", ""),
    )


def own_path(text: str | None) -> str:
    """A path on this site to go to; everything that could lead elsewhere becomes `/`."""
    return text if text and _OWN_PATH.fullmatch(text) else "/"


def pending(dropped: bool) -> Response:
    """204 when a revocation is known everywhere, 202 when some server could not be asked yet."""
    if dropped:
        return Response(status_code=204)
    return Response('{"status":"pending"}', status_code=202, media_type="application/json")


def seconds(moment: "datetime | None") -> float | None:
    return None if moment is None else moment.timestamp()
