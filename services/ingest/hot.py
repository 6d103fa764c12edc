"""The senders on the hot path: answers rendered once per key and moment, not once per request."""

from collections.abc import Callable

from libs.http.hot import MIB, HotEntry, HotRequest, HotRoute, hot_response
from libs.http.principal import Principal
from libs.runtime.clock import Clock, uuid7
from services.ingest.replies import Answer, PointRequest, Tell
from services.ingest.senders import Senders

BATCH_LIMIT = 16 * MIB
_SAME_FOR = 0.05


class _Rendered:
    """An answer to a principal, with its rate-limit headers as they were a moment ago."""

    __slots__ = ("raw", "until")

    def __init__(self) -> None:
        self.raw = b""
        self.until = 0.0


class HotSenders:
    """Hot routes over `Senders`."""

    def __init__(self, senders: Senders, clock: Clock) -> None:
        self._senders = senders
        self._clock = clock

    def routes(self) -> dict[bytes, HotEntry]:
        senders = self._senders
        return {
            b"/ez": self._route(senders.ez, methods=(b"POST", b"GET")),
            b"/c": self._route(senders.count, methods=(b"POST", b"GET")),
            b"/v": self._route(senders.value, methods=(b"POST", b"GET")),
            b"/v1/stat": self._route(senders.v1_stat),
            b"/v1/stat/count": self._route(senders.v1_count),
            b"/v1/stat/value": self._route(senders.v1_value),
            b"/v1/stats": self._route(senders.v1_stats),
            b"/api/v1/batch": self._route(senders.batch, BATCH_LIMIT),
        }

    def _route(
        self,
        handler: Callable[[PointRequest, Tell], None],
        limit: int = MIB,
        methods: tuple[bytes, ...] = (b"POST",),
    ) -> HotRoute:
        render = self._render

        def handle(request: HotRequest) -> None:
            handler(request, lambda answer, principal: request.answer(render(answer, principal)))

        return HotRoute(handle, limit, methods)

    def _render(self, answer: Answer, principal: Principal | None) -> bytes:
        if answer.status != 200:
            headers = b"x-request-id: %s\r\n" % str(uuid7()).encode() + answer.headers
            if principal is not None:
                headers += principal.bucket.headers(self._clock.monotonic())
            return hot_response(answer.status, answer.body, headers, answer.content_type)
        if principal is None:
            return hot_response(200, answer.body, answer.headers, answer.content_type)
        rendered: _Rendered | None = principal.memo.get(answer)
        if rendered is None:
            rendered = _Rendered()
            if answer.shared:
                principal.memo[answer] = rendered
        now = self._clock.monotonic()
        if now >= rendered.until:
            rendered.until = now + _SAME_FOR
            headers = answer.headers + principal.bucket.headers(now)
            rendered.raw = hot_response(200, answer.body, headers, answer.content_type)
        return rendered.raw
