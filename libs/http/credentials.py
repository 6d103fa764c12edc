"""Who may call a route: dependencies that find the principal of a request, and refuse requests made by other websites.

    @router.get("/api/v1/stats")
    async def stats(caller: Annotated[Principal, Depends(bearer("stats:read"))]): ...

The key is looked at after the whole body was read: a key revoked while a body is on its way is refused. Whoever waits
for something afterwards asks `caller.require_alive()` before recording.
"""

import hashlib
import hmac
from collections.abc import Collection
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from fastapi.openapi.models import APIKey, APIKeyIn, HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.requests import Request
from starlette.responses import Response

from libs.contracts.accounts import KeyFacts, KeyKind
from libs.http.errors import Forbidden, Unauthorized
from libs.http.exchange import exchange_of
from libs.http.limits import Limit
from libs.http.principal import Principal
from libs.http.process import HttpProcess
from libs.runtime.settings import Settings

SESSION = "ezstat_session"
SECURE_SESSION = "__Host-ezstat_session"
CSRF_FIELD = "csrf_token"
CSRF_HEADER = "x-csrf-token"

ACCOUNT_KINDS: frozenset[KeyKind] = frozenset(("account", "self_hosted", "session"))
SITE_KINDS: frozenset[KeyKind] = frozenset(("user_token", "site", "read", "self_hosted", "session"))
QUERY_KINDS: frozenset[KeyKind] = frozenset(("read", "self_hosted"))
SESSION_KINDS: frozenset[KeyKind] = frozenset(("session",))
SITE_KEY = Limit(600, 3600)
SITE_ADDRESS = Limit(60, 60)
SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")


def process_of(request: Request) -> HttpProcess:
    """The process of an app that `make_app` made."""
    process: HttpProcess = request.app.state.process
    return process


def presented_key(request: Request) -> bytes | None:
    """What follows `Bearer` in the Authorization header; None without that header. b"" when it is malformed."""
    values = [value for name, value in request.scope["headers"] if name == b"authorization"]
    if not values:
        return None
    scheme, _, secret = values[0].strip().partition(b" ")
    secret = secret.strip()
    return secret if len(values) == 1 and scheme.lower() == b"bearer" and b" " not in secret else b""


def key_in_query(request: Request) -> bytes | None:
    """The value of `api_key` in the query; None when there is none, b"" when there are several."""
    pairs = [part.partition(b"=") for part in request.scope["query_string"].split(b"&")]
    values = [unquote_to_bytes(value.replace(b"+", b" ")) for name, _, value in pairs if name == b"api_key"]
    return None if not values else values[0] if len(values) == 1 else b""


def session_secret(request: Request) -> bytes | None:
    """The session cookie. Over HTTPS only the `__Host-` one counts: the other could be set by a neighbouring host."""
    names = (SECURE_SESSION,) if exchange_of(request).secure else (SECURE_SESSION, SESSION)
    for name in names:
        value = request.cookies.get(name)
        if value:
            return value.encode("latin-1", "replace")
    return None


def set_session(response: Response, request: Request, secret: str, max_age: int) -> None:
    """Sign in: HttpOnly, SameSite=Lax, for `max_age` seconds."""
    secure = exchange_of(request).secure
    name = SECURE_SESSION if secure else SESSION
    response.set_cookie(name, secret, max_age=max_age, path="/", secure=secure, httponly=True, samesite="lax")


def clear_session(response: Response) -> None:
    """Sign out, under both names."""
    response.delete_cookie(SESSION, path="/", httponly=True, samesite="lax")
    response.delete_cookie(SECURE_SESSION, path="/", secure=True, httponly=True, samesite="lax")


async def same_origin(request: Request) -> None:
    """A dependency for sign-in and sign-up: refuses requests that another website made the browser send."""
    site = request.headers.get("sec-fetch-site")
    if site not in (None, "same-origin", "none"):
        raise Forbidden("Requests from other websites are refused.", code="cross_site")
    origin = request.headers.get("origin")
    if origin is not None and not _is_ours(origin, request):
        raise Forbidden("Requests from other websites are refused.", code="cross_site")


def _is_ours(origin: str, request: Request) -> bool:
    if origin == process_of(request).settings.url:
        return True
    host = request.headers.get("host", "")
    return bool(host) and urlsplit(origin).netloc.lower() == host.lower()


def csrf_token(settings: Settings, principal: Principal) -> str:
    """What a form of this session must carry in the field `csrf_token` (or the header `X-CSRF-Token`)."""
    return hmac.new(settings.derive("csrf"), principal.digest, hashlib.sha256).hexdigest()


async def _check_session_request(request: Request, principal: Principal) -> None:
    """A browser sends the cookie whoever made it do so; for what changes something, that must have been our page."""
    if request.method in SAFE_METHODS:
        return
    await same_origin(request)
    content_type = exchange_of(request).content_type
    if not content_type.startswith(FORM_TYPES):
        return
    token = request.headers.get(CSRF_HEADER)
    if token is None and not content_type.startswith("text/plain"):
        field = (await request.form()).get(CSRF_FIELD)
        token = field if isinstance(field, str) else None
    expected = csrf_token(process_of(request).settings, principal)
    if not hmac.compare_digest((token or "").encode(), expected.encode()):
        raise Forbidden("This form is too old; load the page again.", code="csrf")


async def find_caller(request: Request) -> Principal | None:
    """The principal that a request shows, whatever it may do: by header, `api_key` in the query, or session cookie.

    None when nothing is shown. Raises `Unauthorized` for what is shown and not valid, `Forbidden` for a session used by
    another website, `ServiceUnavailable`.
    """
    ring = process_of(request).ring
    assert ring is not None
    presented, queried = presented_key(request), key_in_query(request)
    if presented is not None or queried is not None:
        principal = await ring.find(presented if presented is not None else queried or b"")
        if principal is None or principal.facts.kind in ("session", "ez"):
            raise Unauthorized
        if presented is None and principal.facts.kind not in QUERY_KINDS:
            raise Unauthorized
        return principal
    secret = session_secret(request)
    if secret is None:
        return None
    principal = await ring.find(secret)
    if principal is None or principal.facts.kind != "session":
        raise Unauthorized
    await _check_session_request(request, principal)
    return principal


async def _admit(request: Request, principal: Principal, scope: str) -> Principal:
    """Count the request against the key's limit and remember who it was."""
    exchange = exchange_of(request)
    exchange.principal = principal
    exchange.writes = scope == "stats:write"
    if not exchange.writes and not principal.facts.unlimited:
        process, facts = process_of(request), principal.facts
        limit = SITE_KEY if facts.kind == "site" else Limit(process.settings.read_rate, 60)
        if facts.kind == "site":
            await process.limiter.check("site-address", exchange.client, SITE_ADDRESS)
        exchange.allowance = await process.limiter.check("key", str(facts.key_id), limit)
    return principal


def require_scope(facts: KeyFacts, scope: str, kinds: Collection[KeyKind]) -> None:
    """Raises `Forbidden` when this key may not do that."""
    if facts.kind not in kinds or (facts.kind != "self_hosted" and scope and scope not in facts.scopes):
        raise Forbidden


class Bearer(SecurityBase):
    """A dependency that gives the principal of a request with a key or a session that has `scope`."""

    def __init__(self, scope: str, kinds: frozenset[KeyKind]) -> None:
        self.model = HTTPBearer(description="An API key.")
        self.scheme_name = "bearer"
        self.scope = scope
        self.kinds = kinds

    async def __call__(self, request: Request) -> Principal:
        principal = await find_caller(request)
        if principal is None:
            raise Unauthorized
        require_scope(principal.facts, self.scope, self.kinds)
        return await _admit(request, principal, self.scope)


class SessionOnly(SecurityBase):
    """A dependency that gives the principal of a signed-in person; keys are not enough here."""

    def __init__(self, scope: str = "") -> None:
        self.model = APIKey.model_validate(
            {"in": APIKeyIn.cookie, "name": SESSION, "description": "A signed-in person."}
        )
        self.scheme_name = "session"
        self.scope = scope

    async def __call__(self, request: Request) -> Principal:
        if session_secret(request) is None:
            raise Unauthorized
        principal = await find_caller(request)
        if principal is None or principal.facts.kind != "session":
            raise Unauthorized
        require_scope(principal.facts, self.scope, SESSION_KINDS)
        return await _admit(request, principal, self.scope)


def bearer(scope: str, kinds: frozenset[KeyKind] | None = None) -> Any:
    """The dependency for rows marked Bearer, which accept a session too.

    `kinds` are the kinds of key that count; by default those that mean websites for `sites:…` scopes, else an account's
    own. A wrong kind or a missing scope is 403, everything else that is not valid 401.
    """
    return Bearer(scope, kinds or (SITE_KINDS if scope.startswith("sites:") else ACCOUNT_KINDS))


session_only = SessionOnly()
"""The dependency for rows marked Session."""
