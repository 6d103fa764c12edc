"""The public API as the pages use it: typed answers, and refusals with what they mean."""

from datetime import datetime
from typing import Any, Literal, TypeVar
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from starlette.requests import Request

from libs.http.errors import ServiceUnavailable
from libs.http.public import PublicApi, Reply
from services.web.board import Dashboard

T = TypeVar("T")


class User(msgspec.Struct):
    email: str


class Account(msgspec.Struct):
    id: UUID
    name: str


class SignedIn(msgspec.Struct):
    """Who was just signed in, and where to go."""

    user: User
    account: Account
    next: str = "/"


class Me(msgspec.Struct):
    """Who is asking. `csrf_token` goes into forms."""

    user: User
    account: Account
    role: Literal["owner", "member", "viewer"]
    csrf_token: str


class SetUp(msgspec.Struct):
    """Whether somebody still has to set the installation up, and whether strangers may sign up."""

    open: bool
    signup: bool


class Invitation(msgspec.Struct):
    """What an invitation leads to; `known`: the address has a password here already."""

    account: str
    email: str
    role: str
    known: bool


class Key(msgspec.Struct):
    id: UUID
    name: str
    mode: Literal["live", "test"]
    scopes: list[str]
    masked: str
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None


class IssuedKey(msgspec.Struct):
    """`key` is shown once."""

    id: UUID
    key: str


class _Keys(msgspec.Struct):
    api_keys: list[Key]


class _Error(msgspec.Struct):
    code: str = ""
    message: str = ""
    param: str | None = None


class _Failure(msgspec.Struct):
    error: _Error


class Refused(Exception):
    """The API said no. `param` names the field at fault; `retry_after` is seconds, for those who asked too often."""

    def __init__(self, reply: Reply) -> None:
        try:
            error = msgspec.json.decode(reply.body, type=_Failure).error
        except msgspec.DecodeError:
            error = _Error()
        self.status = reply.status
        self.code = error.code
        self.message = error.message
        self.param = error.param
        self.retry_after = reply.headers.get("retry-after", "")
        super().__init__(f"{reply.status} {error.code}")


class Api:
    """Every call takes the visitor's request: it is made in the visitor's name."""

    def __init__(self, public: PublicApi) -> None:
        self._public = public

    async def me(self, visitor: Request) -> Me:
        return _read(await self._call(visitor, "GET", "/api/v1/auth/me"), Me)

    async def setup(self, visitor: Request) -> SetUp:
        return _read(await self._call(visitor, "GET", "/api/v1/auth/setup"), SetUp)

    async def post(self, visitor: Request, path: str, body: dict[str, Any] | None = None) -> Reply:
        """A command whose answer is not needed, or differs. Raises `Refused`."""
        return await self._call(visitor, "POST", path, {} if body is None else body)

    async def look_at_invitation(self, visitor: Request, token: str) -> Invitation:
        return _read(await self.post(visitor, "/api/v1/auth/invitations/look", {"token": token}), Invitation)

    async def dashboard(self, visitor: Request, range_: str) -> Dashboard:
        return _read(await self._call(visitor, "GET", f"/api/v1/dashboard?{urlencode({'range': range_})}"), Dashboard)

    async def keys(self, visitor: Request) -> list[Key]:
        """Account keys that live, the newest first."""
        return _read(await self._call(visitor, "GET", "/api/v1/auth/api-keys?limit=1000"), _Keys).api_keys

    async def create_key(self, visitor: Request, body: dict[str, Any], cookie: str = "") -> IssuedKey:
        """A new account key; `cookie` stands for a session that the visitor's browser does not have yet."""
        return _read(await self._call(visitor, "POST", "/api/v1/auth/api-keys", body, cookie), IssuedKey)

    async def revoke_key(self, visitor: Request, key: UUID) -> bool:
        """Whether it is dead everywhere already; if not, some server could not be told yet."""
        return (await self._call(visitor, "DELETE", f"/api/v1/auth/api-keys/{key}")).status != 202

    async def _call(self, visitor: Request, method: str, path: str, body: Any = None, cookie: str = "") -> Reply:
        reply = await self._public.call(visitor, method, path, body, cookie)
        if reply.status >= 500:
            raise ServiceUnavailable
        if reply.status >= 400:
            raise Refused(reply)
        return reply


def _read(reply: Reply, kind: type[T]) -> T:
    return msgspec.json.decode(reply.body, type=kind)


def signed_in(reply: Reply) -> SignedIn:
    """What an answer says that signed somebody in."""
    return _read(reply, SignedIn)


def session_of(reply: Reply) -> str:
    """The cookies that an answer sets, as a browser would send them back."""
    return "; ".join(cookie.partition(";")[0] for cookie in reply.cookies)
