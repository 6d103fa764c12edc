"""Forms: reading them, and refusing those that another website made a browser send.

A form of a signed-in person carries the token of the session, which the house checks by itself. A stranger has no
session; there the token belongs to a cookie of its own, so that nobody can be signed in to somebody else's account.
"""

import hashlib
import hmac
import secrets

from starlette.requests import Request
from starlette.responses import Response

from libs.http.credentials import CSRF_FIELD, same_origin, session_only, session_secret
from libs.http.errors import Forbidden, Unauthorized
from libs.http.exchange import exchange_of

_COOKIE = "ezstat_form"
_SECURE_COOKIE = "__Host-ezstat_form"
_LONGEST = 10_000


class Forms:
    """`secret` is known to all processes of the house."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def stranger(self, request: Request) -> str:
        """What the browser of a stranger is known by: what its cookie says, else something new."""
        return request.cookies.get(_name(request)) or secrets.token_urlsafe(24)

    def token(self, stranger: str) -> str:
        """What the forms of this stranger must carry."""
        return hmac.new(self._secret, stranger.encode(), hashlib.sha256).hexdigest()

    def remember(self, request: Request, response: Response, stranger: str) -> None:
        if request.cookies.get(_name(request)) != stranger:
            secure = exchange_of(request).secure
            response.set_cookie(_name(request), stranger, path="/", secure=secure, httponly=True, samesite="lax")

    async def read(self, request: Request) -> dict[str, str]:
        """The fields of a form that one of our own pages sent. Raises `Forbidden` for any other."""
        await same_origin(request)
        sent = await request.form()
        values = {name: value for name, value in sent.items() if isinstance(value, str) and len(value) < _LONGEST}
        if not await _is_of_session(request):
            expected = self.token(request.cookies.get(_name(request)) or secrets.token_urlsafe())
            if not hmac.compare_digest(values.get(CSRF_FIELD, "").encode(), expected.encode()):
                raise Forbidden("This form is too old; load the page again.", code="csrf")
        return values


async def _is_of_session(request: Request) -> bool:
    """Whether there is a session whose token the form carries. Raises `Forbidden` for a wrong one."""
    if session_secret(request) is None:
        return False
    try:
        await session_only(request)
    except Unauthorized:
        return False
    return True


def _name(request: Request) -> str:
    return _SECURE_COOKIE if exchange_of(request).secure else _COOKIE
