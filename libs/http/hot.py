"""Hot paths: requests that are answered before ASGI, and what all connections of a process share about them."""

import logging
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

from libs.http.dialects import dialect_of
from libs.http.errors import ApiError
from libs.http.headers import CORS_LINE, cors_open
from libs.http.proxies import Proxies
from libs.runtime.clock import uuid7

if TYPE_CHECKING:
    from libs.http.connection import Connection

log = logging.getLogger("ezstat.http")

MIB = 1 << 20
CACHED_HEADS = 4096
CACHED_HEAD_SIZE = 1024
_PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}


def hot_response(status: int, body: bytes, headers: bytes = b"", content_type: bytes = b"application/json") -> bytes:
    """A whole HTTP response. `headers` are complete lines, each with its `\\r\\n`."""
    return b"HTTP/1.1 %d %s\r\ncontent-type: %s\r\ncontent-length: %d\r\n%s\r\n%s" % (
        status, _PHRASES[status], content_type, len(body), headers, body
    )  # fmt: skip


def error_response(error: ApiError, path: bytes, query: bytes = b"", headers: bytes = b"") -> bytes:
    """A whole HTTP response that says `error` in the dialect of the path, with a request id."""
    dialect = dialect_of(path.decode("latin-1"), query.decode("latin-1"))
    told = "".join(f"{name}: {value}\r\n" for name, value in error.headers.items())
    lines = f"x-request-id: {uuid7()}\r\n{told}".encode()
    if cors_open(path.decode("latin-1")):
        lines += CORS_LINE
    return hot_response(error.status, dialect.body(error), lines + headers)


class Head:
    """The parsed head of a hot request, shared by all requests with the same bytes.

    `length` is the body's Content-Length, 0 when there is no body, -1 when it is chunked. `headers` have lower-case
    names. `memo` is free for the handler: what it derives from the head alone (never from a key: keys die).
    """

    __slots__ = ("content_type", "headers", "keep_alive", "length", "memo", "method", "path", "query", "route")

    def __init__(self, route: "HotRoute", method: bytes, path: bytes, query: bytes) -> None:
        self.route = route
        self.method = method
        self.path = path
        self.query = query
        self.headers: list[tuple[bytes, bytes]] = []
        self.content_type = b""
        self.length = 0
        self.keep_alive = True
        self.memo: object = None


class HotRequest:
    """One request on a hot path, its whole body read."""

    __slots__ = ("body", "head", "protocol", "response")

    def __init__(self, protocol: "Connection", head: Head, body: bytes) -> None:
        self.protocol = protocol
        self.head = head
        self.body = body
        self.response: bytes | None = None

    @property
    def method(self) -> bytes:
        """`GET` or `POST`."""
        return self.head.method

    @property
    def path(self) -> bytes:
        return self.head.path

    @property
    def query(self) -> bytes:
        """What stands after the `?`, undecoded."""
        return self.head.query

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """Names are in lower case."""
        return self.head.headers

    @property
    def content_type(self) -> bytes:
        """As it was sent."""
        return self.head.content_type

    @property
    def idempotency_key(self) -> bytes:
        """Empty: a request with an Idempotency-Key never takes the hot path."""
        return b""

    @property
    def client(self) -> str:
        """The client's address, as far as trusted proxies tell."""
        return self.protocol.paths.proxies.client(self.protocol.peer, self.head.headers)

    def answer(self, response: bytes) -> None:
        """Send a whole HTTP response (`hot_response`), after those of the requests before it on the connection.

        Once only. A client that has gone away meanwhile is no error.
        """
        if self.response is not None:
            raise RuntimeError("a hot request was answered twice")
        self.response = response
        self.head.route.count(response)
        protocol = self.protocol
        waiting = protocol.waiting
        if len(waiting) == 1 and waiting[0] is self and not protocol.closing:
            waiting.clear()
            protocol.since = protocol.paths.tick
            protocol.transport.write(response)
            if protocol.pipeline:
                protocol.settle()
        elif waiting and waiting[0] is self:
            protocol.settle()

    def refuse(self, error: ApiError, headers: bytes = b"") -> None:
        """Answer with an error in the dialect of the path."""
        self.answer(error_response(error, self.head.path, self.head.query, headers))


HotHandler = Callable[[HotRequest], None]


@dataclass(slots=True)
class HotRoute:
    """A hot path's handler, the size in bytes of the largest body it takes, and the methods it takes (others are
    ASGI's). `answered` counts by status code."""

    handler: HotHandler
    limit: int = MIB
    methods: tuple[bytes, ...] = (b"POST", b"GET")
    answered: dict[bytes, int] = field(default_factory=dict)

    def count(self, response: bytes) -> None:
        status = response[9:12]
        self.answered[status] = self.answered.get(status, 0) + 1


HotEntry = HotHandler | HotRoute


@dataclass(frozen=True)
class Guards:
    """Limits of every connection: seconds, bytes, and how many connections are served at once."""

    head_seconds: float = 5.0
    head_bytes: int = 16 * 1024
    body_seconds: float = 10.0
    idle_seconds: float = 5.0
    drain_seconds: float = 1.0
    stalled_seconds: float = 60.0
    linger_seconds: float = 1.0
    connections: int = 1000
    waiting: int = 512

    @property
    def period(self) -> float:
        """How often connections are looked at; a deadline is kept to within this."""
        return min(0.5, self.head_seconds / 4, self.body_seconds / 4, self.idle_seconds / 4, self.drain_seconds / 2)


class HotPaths:
    """What the connections of a process share: the hot routes, known heads, guards, and one coarse clock.

    One look at all connections every `Guards.period` replaces timers per request: arming and cancelling them would
    cost more than parsing. `tick` is the loop's time at the last look.
    """

    def __init__(
        self,
        routes: "Mapping[bytes, HotEntry]",
        guards: Guards | None = None,
        proxies: Proxies | None = None,
        require_https: bool = False,
    ) -> None:
        self.routes: dict[bytes, HotRoute] = {
            path: entry if isinstance(entry, HotRoute) else HotRoute(entry) for path, entry in routes.items()
        }
        self.guards = guards or Guards()
        self.proxies = proxies or Proxies()
        self.require_https = require_https
        self.heads: dict[bytes, Head] = {}
        self.connections: set[Connection] = set()
        self.tick = 0.0
        self._timer: TimerHandle | None = None

    def remember(self, raw: bytes, head: Head) -> None:
        """Keep a parsed head, so that the same bytes need no parser next time.

        Only a head whose one empty line is its end: with a bare CR or LF in it, where it ends could be a matter of
        opinion.
        """
        lines = raw.count(b"\r\n")
        if len(raw) > CACHED_HEAD_SIZE or raw.count(b"\r") != lines or raw.count(b"\n") != lines:
            return
        if len(self.heads) >= CACHED_HEADS:
            self.heads.clear()
        self.heads[raw] = head

    def join(self, connection: "Connection", loop: AbstractEventLoop) -> None:
        self.connections.add(connection)
        if self._timer is None:
            self.tick = loop.time()
            self._timer = loop.call_later(self.guards.period, self._look, loop)

    def _look(self, loop: AbstractEventLoop) -> None:
        self.tick = loop.time()
        for connection in list(self.connections):
            connection.inspect(self.tick)
        self._timer = loop.call_later(self.guards.period, self._look, loop) if self.connections else None
