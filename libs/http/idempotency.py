"""`Idempotency-Key`: a POST that is sent again gets the answer it got, for 24 hours.

Answers are kept in Redis, which holds only what may be lost: without it a POST is done as if it had no key. They may
hold a key that is shown only once, so they are kept unreadable without the installation's secret.
"""

import hashlib
import hmac
import os
from dataclasses import dataclass

import msgspec
from redis.exceptions import RedisError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.http.errors import BadRequest, Conflict
from libs.http.principal import Principal
from libs.http.process import HttpProcess

KEPT_SECONDS = 24 * 3600
RUNNING_SECONDS = 60
LONGEST_KEY = 255
LARGEST_ANSWER = 1 << 20
_NOT_KEPT = (b"set-cookie", b"date", b"x-request-id", b"content-length")


class _Kept(msgspec.Struct, array_like=True):
    """What Redis holds: which request it was, and its answer once there is one."""

    fingerprint: bytes
    status: int = 0
    headers: list[tuple[bytes, bytes]] = []
    body: bytes = b""


@dataclass(slots=True)
class _Answer:
    """Passes an answer on and keeps a copy, unless it is too large or signs somebody in."""

    send: Send
    status: int = 0
    headers: list[tuple[bytes, bytes]] | None = None
    body: bytes = b""
    complete: bool = False
    keep: bool = True

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message.get("headers", []))
            self.keep = not any(name.lower() == b"set-cookie" for name, _ in self.headers)
        elif message["type"] == "http.response.body":
            if self.keep:
                self.body += message.get("body", b"")
                self.keep = len(self.body) <= LARGEST_ANSWER
            self.complete = not message.get("more_body", False)
        await self.send(message)

    def worth_keeping(self) -> bool:
        """A refusal for now (429, 5xx) is not the answer for the day."""
        return self.keep and self.complete and self.status < 500 and self.status not in (401, 403, 408, 429)


def key_of(scope: Scope) -> bytes | None:
    """The request's idempotency key. Raises `BadRequest` for one that is empty or too long."""
    if scope["method"] != "POST":
        return None
    for name, value in scope["headers"]:
        if name == b"idempotency-key":
            if not 0 < len(value) <= LONGEST_KEY:
                raise BadRequest("The Idempotency-Key must have 1 to 255 characters.")
            return bytes(value)
    return None


class Idempotency:
    """Runs a POST once per key of an account."""

    def __init__(self, process: HttpProcess) -> None:
        self._redis = process.redis
        self._secret = process.settings.derive("idempotency")

    async def run(
        self, app: ASGIApp, scope: Scope, receive: Receive, send: Send, caller: Principal, key: bytes, body: bytes
    ) -> None:
        """Answer from what is kept, or run the app and keep what it says. Raises `Conflict` when the key was used for
        another request, or when the first one is still running."""
        name = b"idempotency:" + self._digest(caller.facts.account.bytes + key).hex().encode()
        fingerprint = self._digest(b"\0".join((scope["path"].encode(), scope["query_string"], body)))
        try:
            begun = await self._redis.set(name, self._seal(name, _Kept(fingerprint)), nx=True, ex=RUNNING_SECONDS)
            found = None if begun else await self._redis.get(name)
        except (RedisError, OSError, TimeoutError):
            begun = found = None
        if isinstance(found, bytes):
            await self._replay(self._open(name, found), fingerprint, send)
            return
        answer = _Answer(send)
        try:
            await app(scope, receive, answer)
        finally:
            if begun:
                await self._settle(name, fingerprint, answer)

    async def _replay(self, kept: _Kept, fingerprint: bytes, send: Send) -> None:
        if not hmac.compare_digest(kept.fingerprint, fingerprint):
            raise Conflict("This Idempotency-Key was used for another request.", code="idempotency_key_reused")
        if not kept.status:
            raise Conflict(
                "The first request with this Idempotency-Key is still running.",
                code="idempotency_key_in_use",
                headers={"Retry-After": "1"},
            )
        headers = [*kept.headers, (b"idempotent-replayed", b"true"), (b"content-length", b"%d" % len(kept.body))]
        await send({"type": "http.response.start", "status": kept.status, "headers": headers})
        await send({"type": "http.response.body", "body": kept.body})

    async def _settle(self, name: bytes, fingerprint: bytes, answer: _Answer) -> None:
        try:
            if answer.worth_keeping():
                headers = [pair for pair in answer.headers or [] if pair[0].lower() not in _NOT_KEPT]
                kept = _Kept(fingerprint, answer.status, headers, answer.body)
                await self._redis.set(name, self._seal(name, kept), ex=KEPT_SECONDS)
            else:
                await self._redis.delete(name)
        except (RedisError, OSError, TimeoutError):
            return  # the mark of a running request ends by itself

    def _digest(self, data: bytes) -> bytes:
        return hmac.digest(self._secret, data, hashlib.sha256)

    def _seal(self, name: bytes, kept: _Kept) -> bytes:
        nonce = os.urandom(16)
        return nonce + self._veil(name + nonce, msgspec.msgpack.encode(kept))

    def _open(self, name: bytes, sealed: bytes) -> _Kept:
        return msgspec.msgpack.decode(self._veil(name + sealed[:16], sealed[16:]), type=_Kept)

    def _veil(self, nonce: bytes, data: bytes) -> bytes:
        """Exclusive-or with a stream that only the secret gives (SHAKE-256 as a keyed stream): its own inverse."""
        stream = hashlib.shake_256(self._digest(b"stream" + nonce)).digest(len(data))
        return (int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(data), "big")
