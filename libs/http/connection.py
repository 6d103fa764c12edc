"""One connection of a process: how long it may take, in which order it answers, and how it ends."""

from asyncio import AbstractEventLoop, Transport
from collections import deque
from typing import Any, ClassVar

from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from libs.http.errors import ApiError, RequestTimeout
from libs.http.hot import Head, HotPaths, HotRequest, error_response

CLOSE = b"connection: close\r\n"


class Connection(HttpToolsProtocol):
    """uvicorn's connection, with hot requests among those of ASGI.

    `between`: the parser stands between two messages; `in_head`: inside a head; `head`: inside the body of this hot
    request. `quick`: the next message may be answered from a known head. `waiting`: hot requests in the order they
    came, not yet answered. `last`: no further message is read. `closing`: ends once everything that was read is
    answered. `deaf`: refused; what still comes is thrown away. `surplus`: one too many. `since`: the coarse time of the
    last change that a deadline counts from.
    """

    paths: ClassVar[HotPaths]

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
        self.in_head = self.last = self.closing = self.deaf = False
        self.surplus = self.https_only = False
        self.peer = ""
        self.since = self.stalled_since = 0.0
        self.url = b""
        self.size = 0
        self.head: Head | None = None
        self.raw: bytes | None = None
        self.chunks: list[bytes] = []
        self.refusal: ApiError | None = None

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

    # Answers, in the order of their requests

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
            self.last = True
            self.transport.close()

    def _ends_after(self, others: int) -> bool:
        return self.closing and not others and self.between and not self._asgi_open()

    def _asgi_open(self) -> bool:
        """Is the latest ASGI request unanswered? (Earlier ones are then in front of it.)"""
        return self.cycle is not None and not self.cycle.response_complete

    def _in_asgi_body(self) -> bool:
        return not self.between and not self.in_head and self.head is None and self._asgi_open()

    def _close_after_asgi(self) -> None:
        self.closing = True
        if self._asgi_open():
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
        own_body = self._in_asgi_body()
        self.quick, self.last, self.between, self.in_head = False, True, True, False
        if not own_body:
            return
        cycle = self.cycle
        cycle.disconnected = True
        cycle.message_event.set()
        if not (cycle.response_started or self.pipeline or self.waiting):
            self.transport.write(response)
        self.transport.close()
