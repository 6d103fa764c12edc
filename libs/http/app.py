"""The app factory: one FastAPI per service, with everything around its routes that all services have in common."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.bus import trace
from libs.http import failures, health
from libs.http.bodies import Bodies, BodyRule, Gone, once
from libs.http.credentials import find_caller
from libs.http.errors import ApiError, Forbidden, NotFound
from libs.http.exchange import SCOPE_KEY, Exchange
from libs.http.headers import cors_open, defaults, preflight
from libs.http.idempotency import Idempotency, key_of
from libs.http.metrics import request_metrics
from libs.http.paths import Found, RouteTable, counts_on_get
from libs.http.principal import Principal
from libs.http.process import HttpProcess
from libs.http.proxies import Proxies
from libs.http.text import check_json, check_query
from libs.runtime.clock import uuid7

log = logging.getLogger("ezstat.http")
access = logging.getLogger("ezstat.access")

PROBES = ("/livez", "/readyz", "/metrics")
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
GONE = 499
"""The status in metrics of a request whose client went away before there was an answer."""


def make_app(
    service: str,
    process: HttpProcess,
    routers: Sequence[APIRouter],
    *,
    bodies: Mapping[str, BodyRule] | None = None,
    ready: Callable[[], bool] | None = None,
    title: str = "EzStat",
) -> FastAPI:
    """The app of a service.

    `bodies` says, by exact path, where bodies may be larger or are streamed. `ready` becomes a part of `/readyz`.
    Path parameters arrive as sent: `path_text` decodes them.
    """
    app = FastAPI(title=title, docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.state.process = process
    process.ready[service] = ready or (lambda: True)
    app.include_router(health.router)
    for router in routers:
        app.include_router(router)
    for kind in failures.EXPECTED:
        app.add_exception_handler(kind, failures.handle)
    app.add_middleware(Frame, service=service, process=process, bodies=Bodies(bodies), owner=app)
    return app


class Frame:
    """What happens around every request of an app, from the outside in: request id and trace, who the client is, HTTPS,
    OPTIONS and HEAD, the body, idempotency; then the routes; and every error, in the dialect of its path."""

    def __init__(self, app: ASGIApp, service: str, process: HttpProcess, bodies: Bodies, owner: FastAPI) -> None:
        self._app = app
        self._owner = owner
        self._service = service
        self._process = process
        self._bodies = bodies
        self._proxies = Proxies(process.settings.trusted_proxies)
        self._idempotency = Idempotency(process)
        self._metrics = request_metrics(process.metrics)
        self._routes: RouteTable | None = None

    @property
    def routes(self) -> RouteTable:
        """Read at the first request: routes may be added until then."""
        if self._routes is None:
            self._routes = RouteTable(self._owner.routes)
        return self._routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = self._opened(scope)
        found = self.routes.find(scope["path"], scope["method"])
        answer = _Answer(scope, send, self._process, found)
        with trace.following(_header(scope, b"traceparent").decode("latin-1")):
            try:
                await self._answer(scope, receive, answer, found)
            except Gone:
                return
            except Exception as error:
                if not isinstance(error, failures.EXPECTED):
                    log.exception("request failed", extra={"request": scope[SCOPE_KEY].request_id})
                if answer.status:
                    raise
                await failures.answer(failures.as_api_error(error), scope)(scope, receive, answer)
            finally:
                self._record(scope, answer, found)

    def _opened(self, scope: Scope) -> Scope:
        """The scope with its exchange, and with the path as it was sent."""
        headers, peer = scope["headers"], (scope.get("client") or ("",))[0]
        exchange = Exchange(
            request_id=str(uuid7()),
            client=self._proxies.client(peer, headers),
            secure=scope["scheme"] == "https" or self._proxies.secure(peer, headers),
            content_type=_header(scope, b"content-type").decode("latin-1").lower(),
        )
        raw = scope.get("raw_path") or scope["path"].encode()
        return {**scope, "path": raw.decode("latin-1"), SCOPE_KEY: exchange}

    async def _answer(self, scope: Scope, receive: Receive, send: Send, found: Found) -> None:
        path = scope["path"]
        if self._process.settings.require_https and not scope[SCOPE_KEY].secure and path not in PROBES:
            raise Forbidden("Use HTTPS.", code="https_required")
        if scope["method"] == "OPTIONS":
            await _options(scope, send, found)
            return
        if scope["method"] == "HEAD" and not counts_on_get(path):
            # A copy: the server looks at its own scope to leave the body out.
            scope = {**scope, "method": "GET"}
        receive, body = await self._bodies.read(scope, receive)
        key = key_of(scope)
        if body is None:  # what is streamed can't be compared with what was sent before
            await self._app(scope, receive, send)
            return
        if found.parsed:
            check_json(_header(scope, b"content-type"), body)
        if scope["method"] != "POST" and not counts_on_get(path):
            check_query(scope["query_string"])
        caller = None if key is None or not found.methods else await _caller(scope, once(body, receive))
        if key is None or caller is None:
            await self._app(scope, receive, send)
        else:
            await self._idempotency.run(self._app, scope, receive, send, caller, key, body)

    def _record(self, scope: Scope, answer: "_Answer", found: Found) -> None:
        method = scope["method"] if scope["method"] in METHODS else "OTHER"
        status, seconds = answer.status or GONE, answer.started_at - answer.opened_at
        self._metrics.observe(self._service, method, found.template, status, seconds)
        if scope["path"] not in PROBES:
            access.info(
                "%s %s %d %.1f ms", method, found.template, status, seconds * 1000,
                extra={"request": scope[SCOPE_KEY].request_id},
            )  # fmt: skip


class _Answer:
    """Adds to an answer what every answer has."""

    def __init__(self, scope: Scope, send: Send, process: HttpProcess, found: Found) -> None:
        self._scope = scope
        self._send = send
        self._process = process
        self._found = found
        self.status = 0
        self.opened_at = self.started_at = time.perf_counter()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.started_at = time.perf_counter()
            message = {**message, "headers": self._complete(list(message.get("headers", [])))}
        await self._send(message)

    def _complete(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        exchange: Exchange = self._scope[SCOPE_KEY]
        if self.status == 405:  # the framework names the methods of one route only
            headers = [pair for pair in headers if pair[0].lower() != b"allow"]
            headers.append((b"allow", ", ".join(self._found.methods).encode()))
        present = {name.lower() for name, _ in headers}
        usual = [
            (b"x-request-id", exchange.request_id.encode()),
            *defaults(self._scope["path"], self._process.settings.require_https),
            *exchange.rate_headers(self._process.clock),
        ]
        return headers + [pair for pair in usual if pair[0] not in present]


def _header(scope: Scope, wanted: bytes) -> bytes:
    return next((value for name, value in scope["headers"] if name == wanted), b"")


async def _caller(scope: Scope, receive: Receive) -> Principal | None:
    """Whose idempotency key it is; None when the route will refuse the caller anyway."""
    try:
        return await find_caller(Request(scope, receive))
    except ApiError:
        return None


async def _options(scope: Scope, send: Send, found: Found) -> None:
    if not found.methods:
        raise NotFound
    headers = [(b"allow", ", ".join(found.methods).encode())]
    if cors_open(scope["path"]):
        headers += preflight(found.methods, _header(scope, b"access-control-request-headers"))
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
