"""Reading request bodies: bounded in size and time, unpacked, and read before anything else is waited for.

The last matters: a client that writes its request and closes at once must be heard, and after the first wait for
anything else the connection may be gone, and the body with it.
"""

import asyncio
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.types import Message, Receive, Scope

from libs.http.errors import ApiError, BadRequest, RequestTimeout, TooLarge, UnsupportedMedia
from libs.http.hot import MIB

MEMBERS = 16
"""gzip members in one body; more are a way to keep a server busy."""
IN_THREAD = 256 * 1024


class Gone(Exception):
    """The client went away before its body was complete."""


@dataclass(frozen=True)
class BodyRule:
    """How much body a path takes: `limit` in bytes, also after unpacking, `seconds` for all of it.

    `stream`: handed on as it comes, and `seconds` bounds each pause instead.
    """

    limit: int = MIB
    seconds: float = 10.0
    stream: bool = False


class Bodies:
    """The rules of an app, by exact path."""

    def __init__(self, rules: Mapping[str, BodyRule] | None = None, other: BodyRule | None = None) -> None:
        self._rules = dict(rules or {})
        self._other = other or BodyRule()

    async def read(self, scope: Scope, receive: Receive) -> tuple[Receive, bytes | None]:
        """A `receive` that gives the plain body, and that body (None when it is streamed).

        Headers in the scope are changed to fit. Raises `TooLarge`, `RequestTimeout`, `UnsupportedMedia`, `BadRequest`
        or `Gone`.
        """
        headers = dict(scope["headers"])
        if b"content-length" not in headers and b"transfer-encoding" not in headers:
            return receive, b""
        rule = self._rules.get(scope["path"], self._other)
        packed = _packed(headers.get(b"content-encoding", b""))
        if int(headers.get(b"content-length", b"0")) > rule.limit:
            raise TooLarge
        if rule.stream:
            _rewrite(scope, None)
            return _Streamed(receive, rule, packed).receive, None
        body = await _whole(receive, rule)
        if packed:
            body = (
                await asyncio.to_thread(gunzip, body, rule.limit) if len(body) > IN_THREAD else gunzip(body, rule.limit)
            )
        _rewrite(scope, body)
        return once(body, receive), body


def gunzip(data: bytes, limit: int) -> bytes:
    """Unpacked gzip data; never unpacks more than `limit` bytes. Raises `TooLarge` and `BadRequest`."""
    plain = bytearray()
    for _ in range(MEMBERS):
        if not data:
            return bytes(plain)
        unpacker = zlib.decompressobj(wbits=31)
        try:
            plain += unpacker.decompress(data, limit - len(plain) + 1)
        except zlib.error:
            raise BadRequest("The body is not valid gzip.") from None
        if len(plain) > limit:
            raise TooLarge
        if not unpacker.eof:
            raise BadRequest("The gzip body is cut off.")
        data = unpacker.unused_data
    raise BadRequest("The gzip body has too many members.")


def _packed(encoding: bytes) -> bool:
    encoding = encoding.strip().lower()
    if encoding not in (b"", b"identity", b"gzip", b"x-gzip"):
        raise UnsupportedMedia("Bodies may be plain or gzip.", headers={"Accept-Encoding": "gzip"})
    return encoding.endswith(b"gzip")


async def _whole(receive: Receive, rule: BodyRule) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(rule.seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Gone
                part = message.get("body", b"")
                parts.append(part)
                size += len(part)
                if size > rule.limit:
                    raise TooLarge
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise RequestTimeout from None


def _rewrite(scope: Scope, body: bytes | None) -> None:
    """Let the headers say what the app will read."""
    changed = (b"content-encoding", b"content-length", b"transfer-encoding")
    headers = [(name, value) for name, value in scope["headers"] if name not in changed]
    if body is not None:
        headers.append((b"content-length", b"%d" % len(body)))
        if body.lstrip()[:1] in (b"{", b"["):  # sendBeacon can only send JSON as text/plain
            headers = [(name, _json(value) if name == b"content-type" else value) for name, value in headers]
    scope["headers"] = headers


def _json(content_type: bytes) -> bytes:
    return b"application/json" if content_type.lower().startswith(b"text/plain") else content_type


def once(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives `body` at its first call."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


class _Streamed:
    """A body that is too large to hold: counted, unpacked and timed as it passes."""

    def __init__(self, receive: Receive, rule: BodyRule, packed: bool) -> None:
        self._receive = receive
        self._rule = rule
        self._unpacker = zlib.decompressobj(wbits=31) if packed else None
        self._size = 0
        self._done = False

    async def receive(self) -> Message:
        if self._done:
            return await self._receive()
        try:
            async with asyncio.timeout(self._rule.seconds):
                message = await self._receive()
        except TimeoutError:
            raise RequestTimeout from None
        if message["type"] == "http.disconnect":
            return message
        more = bool(message.get("more_body", False))
        self._done = not more
        body = self._plain(message.get("body", b""), more)
        self._size += len(body)
        if self._size > self._rule.limit:
            raise TooLarge
        return {"type": "http.request", "body": body, "more_body": more}

    def _plain(self, part: bytes, more: bool) -> bytes:
        if self._unpacker is None:
            return part
        try:
            plain = self._unpacker.decompress(part, self._rule.limit - self._size + 1)
        except zlib.error:
            raise BadRequest("The body is not valid gzip.") from None
        if not more and not self._unpacker.eof and self._size + len(plain) <= self._rule.limit:
            raise BadRequest("The gzip body is cut off.")
        return plain


def cause(error: BaseException) -> ApiError | None:
    """The `ApiError` that made reading a body fail, under whatever a framework wrapped around it."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, ApiError):
            return inner
        inner = inner.__cause__ or inner.__context__
    return None
