"""uvicorn's HTTP protocol with the hot paths answered before ASGI.

What ASGI would cost (a scope, a task, a response cycle: 100 µs and more) is left out for hot paths, and for a head
whose exact bytes were seen before the parser too. Everything else goes on to ASGI untouched.
"""

import httptools

from libs.http.connection import Connection
from libs.http.errors import ApiError, BadRequest, HeadTooLarge, TooLarge, Unavailable
from libs.http.hot import Head, HotHandler, HotPaths, HotRequest, HotRoute, hot_response, log

__all__ = ["Head", "HotHandler", "HotPaths", "HotProtocol", "HotRequest", "HotRoute", "hot_response"]

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class HotProtocol(Connection):
    """A connection that reads requests and answers the hot ones itself."""

    @classmethod
    def over(cls, paths: HotPaths) -> "type[HotProtocol]":
        """The protocol class for these paths, as uvicorn wants it."""
        return type("HotProtocolOverPaths", (cls,), {"paths": paths})

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
        if method not in route.methods or (self.expect_100_continue and self.waiting):
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

    def _begin_asgi(self) -> None:
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, headers, expects
        self.scope["headers"] = headers
        super().on_headers_complete()
        if self.closing:
            self.cycle.keep_alive = False

    def _give_up(self, error: ApiError) -> None:
        """Refuse from inside the parser: it must be left by an error, or it would go on with the message."""
        self.refusal = error
        raise error
