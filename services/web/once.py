"""What a page shows once: handed from the request that made it to the page that follows, in a cookie that lives for a
minute, is out of reach of scripts, and is taken away when it is read."""

import hashlib
import hmac

from starlette.requests import Request
from starlette.responses import Response

from libs.http.exchange import exchange_of

_COOKIE = "ezstat_once"
_SECONDS = 60


class Once:
    """Signed, for one account: nobody can make a page show a key of theirs."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def hand_on(self, request: Request, response: Response, account: str, text: str) -> None:
        secure = exchange_of(request).secure
        value = f"{text}.{self._sign(account, text)}"
        response.set_cookie(_COOKIE, value, _SECONDS, path="/", secure=secure, httponly=True, samesite="strict")

    def look(self, request: Request, account: str) -> str:
        """The text, "" for none. Whoever looks answers with `take`."""
        text, _, signature = request.cookies.get(_COOKIE, "").rpartition(".")
        return text if text and hmac.compare_digest(signature, self._sign(account, text)) else ""

    def take(self, request: Request, response: Response) -> None:
        if _COOKIE in request.cookies:
            response.delete_cookie(_COOKIE, path="/", httponly=True, samesite="strict")

    def _sign(self, account: str, text: str) -> str:
        return hmac.new(self._secret, f"{account} {text}".encode(), hashlib.sha256).hexdigest()
