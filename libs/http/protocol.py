"""uvicorn's HTTP protocol with the hot paths answered before ASGI, and with guards against slow and huge requests.

What ASGI would cost (a scope, a task, a response cycle: 100 µs and more) is left out for hot paths, and for a head
whose exact bytes were seen before the parser too. Everything else goes on to ASGI untouched. Answers keep the order of
requests on a connection whichever way they took.
"""

from asyncio import AbstractEventLoop, Transport
from collections import deque
from typing import Any, ClassVar

import httptools
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from libs.http.errors import ApiError, BadRequest, HeadTooLarge, RequestTimeout, TooLarge, Unavailable
from libs.http.hot import Head, HotHandler, HotPaths, HotRequest, HotRoute, error_response, hot_response, log

__all__ = ["Head", "HotHandler", "HotPaths", "HotProtocol", "HotRequest", "HotRoute", "hot_response"]

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CLOSE = b"connection: close\r\n"


class HotProtocol(HttpToolsProtocol):
    """One connection.

    `between`: the parser stands between two messages. `quick`: and the next one may be answered from a known head.
    `waiting`: hot requests in the order they came, not yet answered. `last`: no further message is read. `closing`:
    ends once everything that was read is answered. `deaf`: refused; what still comes is thrown away. `since`: the
    coarse time of the last change that a deadline counts from.
    """

    paths: ClassVar[HotPaths]

    @classmethod
    def over(cls, paths: HotPaths) -> "type[HotProtocol]":
        """The protocol class for these paths, as uvicorn wants it."""
        return type("HotProtocolOverPaths", (cls,), {"paths": paths})

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.waiting: deque[HotRequest] = deque()
        self.between = self.quick = True
        self.in_head = self.last = self.closing = self.deaf = self.lost = False
        self.surplus = self.https_only = False
        self.peer = ""
        self.since = self.stalled_since = 0.0
        self.url = b""
        self.size = 0
        self.head: Head | None = None
        self.raw: bytes | None = None
        self.chunks: list[bytes] = []
        self.refusal: ApiError | None = None

    # The connection

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        paths = self.paths
        paths.join(self, self.loop)
        self.since = paths.tick
        self.peer = self.client[0] if self.client else ""
        self.surplus = len(paths.connections) > paths.guards.connections
        self.https_only = paths.require_https and not paths.proxies.trusts(self.peer)
        self.quick = not (self.surplus or self.https_only)
        if len(paths.connections) > 4 * paths.guards.connections:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.paths.connections.discard(self)
        self.waiting.clear()
        self.pipeline.clear()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client has sent all it will send. It may still read: what it asked for is answered before the end.

        A streamed answer is ended: there a client that closed looks the same as one that only stopped sending.
        """
        self._close_after_asgi()
        self.last, self.quick = True, False
        streaming = self._asgi_open() and self.cycle.response_started
        if streaming or self._in_asgi_body():
            return False
        self.between, self.in_head, self.head = True, False, None
        return bool(self.waiting) or self._asgi_open()

    def shutdown(self) -> None:
        """Drain: answer what was asked, say `Connection: close`, end at once or when nothing comes for a moment."""
        self._close_after_asgi()
        self.quick = False
        self.since = self.paths.tick

    def inspect(self, now: float) -> None:
        """Looked at by the paths' clock: end what is over its deadline."""
        guards, age = self.paths.guards, now - self.since
        if self.flow.write_paused and now - self.stalled_since > guards.stalled_seconds:
            self.transport.abort()
        elif self.deaf:
            if age > guards.linger_seconds:
                self.transport.close()
        elif self.in_head:
            if age > guards.head_seconds:
                self._refuse(RequestTimeout())
        elif self.head is not None:
            if age > guards.body_seconds:
                self._refuse(RequestTimeout())
        elif not self.waiting and not self._asgi_open() and age > self._patience():
            self.transport.close()

    def _patience(self) -> float:
        """Seconds that a connection may go on without anything to answer."""
        if not self.between:  # the rest of a body whose request is answered already
            return self.paths.guards.body_seconds
        return self.paths.guards.drain_seconds if self.closing else self.paths.guards.idle_seconds

    def pause_writing(self) -> None:
        super().pause_writing()
        self.stalled_since = self.paths.tick
        self.flow.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.flow.resume_reading()

    # Bytes in

    def data_received(self, data: bytes) -> None:
        if self.quick:
            data = self._answer_known(data)
            if not data:
                return
        if self.deaf or self.last:
            return
        if self.between:
            data = self._without_upgrade(data)
        elif self.in_head:
            self.size += len(data)
            if self.size > self.paths.guards.head_bytes:
                self._refuse(HeadTooLarge())
                return
        self._feed(data)

    def _answer_known(self, data: bytes) -> bytes:
        """Answer requests whose heads are known, without the parser; what is left over is returned."""
        heads = self.paths.heads
        start = 0
        self.raw = None
        while True:
            end = data.find(b"\r\n\r\n", start) + 4
            if end == 3:
                break
            raw = data[start:end]
            head = heads.get(raw)
            if head is None:
                self.raw = raw
                break
            stop = end + head.length
            if stop > len(data):
                break
            self._serve(HotRequest(self, head, data[end:stop]))
            if stop == len(data):
                return b""
            start = stop
            if not self.quick:
                break
        return data[start:] if start else data

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self.last:
                self._refuse(self.refusal or BadRequest("This is not valid HTTP."))
        self.raw = None

    def _without_upgrade(self, data: bytes) -> bytes:
        """Data without an offer to speak another protocol (Java's client always offers `h2c`).

        The offer may be ignored (RFC 9110, 7.8), but the parser would stop after the head and lose the body.
        """
        if b"pgrade" not in data and b"PGRADE" not in data:
            return data
        head, end, rest = data.partition(b"\r\n\r\n")
        if not end:
            return data
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"upgrade:")]
        self.raw = None
        return b"\r\n".join(lines) + end + rest

    # What the parser calls

    def on_message_begin(self) -> None:
        """The ASGI scope is made later, and only for requests that turn out to need one."""
        if self.last:
            raise RuntimeError("nothing is read after the last message")
        self.between = self.quick = False
        self.in_head = True
        self.size = 0
        self.since = self.paths.tick
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_url(self, url: bytes) -> None:
        self.url += url
        self._check_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.in_head:  # trailers after a chunked body
            return
        super().on_header(name, value)
        self._check_head(len(name) + len(value) + 4)

    def _check_head(self, more: int) -> None:
        self.size += more
        if self.size > self.paths.guards.head_bytes:
            self._give_up(HeadTooLarge())

    def on_headers_complete(self) -> None:
        self.in_head = False
        self.size = 0
        self.since = self.paths.tick
        raw, self.raw = self.raw, None
        if self.surplus:
            self._give_up(Unavailable())
        if self.parser.should_upgrade():
            self._give_up(BadRequest("No other protocol is spoken here."))
        head = self._hot_head()
        if head is None:
            self._begin_asgi()
            return
        if head.length > head.route.limit:
            self._give_up(TooLarge())
        if self.expect_100_continue:
            if self.parser.get_http_version() != "1.0":
                self.transport.write(CONTINUE)
        elif raw is not None and head.keep_alive and head.length >= 0 and raw.startswith(b"POST "):
            self.paths.remember(raw, head)
        self.head = head

    def _hot_head(self) -> Head | None:
        """The head as a hot one, or None when this request is ASGI's."""
        path, _, query = self.url.partition(b"?")
        route = self.paths.routes.get(path)
        if route is None or b"#" in query or self.https_only or self._asgi_open():
            return None
        method = self.parser.get_method()
        if method not in (b"POST", b"GET") or (self.expect_100_continue and self.waiting):
            return None
        head = Head(route, method, path, query)
        head.headers = self.headers
        for name, value in self.headers:
            if name == b"content-length":
                head.length = int(value)
            elif name == b"transfer-encoding":
                head.length = -1
            elif name == b"content-type":
                head.content_type = value
                if value[:10].lower() == b"multipart/":
                    return None
            elif name in (b"idempotency-key", b"content-encoding"):
                return None
        if self.paths.require_https and not self.paths.proxies.secure(self.peer, head.headers):
            return None
        head.keep_alive = self.parser.get_http_version() == "1.1" and self.parser.should_keep_alive()
        return head

    def on_body(self, body: bytes) -> None:
        head = self.head
        if head is None:
            super().on_body(body)
            return
        self.size += len(body)
        if self.size > head.route.limit:
            self._give_up(TooLarge())
        self.chunks.append(body)

    def on_message_complete(self) -> None:
        self.between = True
        head, self.head = self.head, None
        if head is None:
            super().on_message_complete()
            self.quick = not (self.closing or self.last or self.surplus or self.https_only or self._asgi_open())
            return
        body = b"".join(self.chunks)
        self.chunks.clear()
        if not head.keep_alive:
            self.last = self.closing = True
        self.quick = not (self.closing or self.https_only)
        self._serve(HotRequest(self, head, body))

    # Hot requests

    def _serve(self, request: HotRequest) -> None:
        waiting = self.waiting
        waiting.append(request)
        try:
            request.head.route.handler(request)
        except Exception:
            # As for an ASGI application: whatever a handler does, the client gets an answer and the others go on.
            log.exception("hot handler failed", extra={"path": request.head.path.decode("latin-1")})
            if request.response is None:
                request.refuse(ApiError())
        if len(waiting) > self.paths.guards.waiting:
            self.flow.pause_reading()

    def settle(self) -> None:
        """Write the answers that are due; then start what ASGI has waiting, or end the connection if it is to end."""
        waiting = self.waiting
        while waiting and waiting[0].response is not None:
            response = waiting.popleft().response
            assert response is not None
            if self._ends_after(len(waiting)):
                response = response.replace(b"\r\n", b"\r\n" + CLOSE, 1) if CLOSE not in response else response
            self.transport.write(response)
        self.since = self.paths.tick
        if len(waiting) <= self.paths.guards.waiting // 2 and not self.flow.write_paused:
            self.flow.resume_reading()
        if waiting:
            return
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            super()._start_asgi_task(cycle, app)
        elif self._ends_after(0):
            self.transport.close()

    def _ends_after(self, others: int) -> bool:
        return self.closing and not others and self.between and not self._asgi_open()

    # Requests of ASGI

    def _asgi_open(self) -> bool:
        """Is the latest ASGI request unanswered? (Earlier ones are then in front of it.)"""
        return self.cycle is not None and not self.cycle.response_complete

    def _in_asgi_body(self) -> bool:
        return not self.between and not self.in_head and self.head is None and self._asgi_open()

    def _close_after_asgi(self) -> None:
        self.closing = True
        if self._asgi_open():
            self.cycle.keep_alive = False

    def _begin_asgi(self) -> None:
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, headers, expects
        self.scope["headers"] = headers
        super().on_headers_complete()
        if self.closing:
            self.cycle.keep_alive = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Start an ASGI answer, once the hot requests before it are answered."""
        if self.waiting:
            self.pipeline.appendleft((cycle, app))
        else:
            super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """As uvicorn's, without its keep-alive timer: the paths' clock ends idle connections."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.since = self.paths.tick
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            super()._start_asgi_task(cycle, app)
        else:
            self.quick = self.between and not (self.closing or self.last or self.surplus or self.https_only)

    # Refusals

    def _give_up(self, error: ApiError) -> None:
        """Refuse from inside the parser: it must be left by an error, or it would go on with the message."""
        self.refusal = error
        raise error

    def _refuse(self, error: ApiError) -> None:
        """Answer with an error, after the answers due before it, and end the connection.

        The client may still be sending: what comes is thrown away for a moment, since closing at once would reset the
        connection and take the answer away before it is read.
        """
        path, _, query = self.url.partition(b"?")
        response = error_response(error, path, query, CLOSE)
        if self._asgi_open():
            self._refuse_asgi(response)
            return
        self.quick, self.last, self.between, self.in_head, self.head = False, True, True, False, None
        if self.waiting:
            refusal = HotRequest(self, self.waiting[0].head, b"")
            refusal.response = response
            self.waiting.append(refusal)
            self.closing = True
            return
        self.deaf = True
        self.since = self.paths.tick
        self.transport.write(response)
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _refuse_asgi(self, response: bytes) -> None:
        """The message at fault is the open one's own body, or comes after answers that are still to be given."""
        self._close_after_asgi()
        self.quick, self.last = False, True
        if not self._in_asgi_body():
            return
        cycle = self.cycle
        cycle.disconnected = True
        cycle.message_event.set()
        if not (cycle.response_started or self.pipeline or self.waiting):
            self.transport.write(response)
        self.transport.close()
