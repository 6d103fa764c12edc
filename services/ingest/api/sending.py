"""The ordinary FastAPI routes of the senders: the fallback of the hot path, the REST rows, and key-less tracking."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, BeforeValidator, Field
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException, MultiPartParser

from libs.contracts.ingest import Kind
from libs.http.credentials import bearer
from libs.http.errors import ApiError, BadRequest
from libs.http.exchange import exchange_of
from libs.http.paths import path_text
from libs.http.principal import Principal
from services.ingest import parse
from services.ingest.batches import item_id
from services.ingest.intake import WRITE, Intake, Single
from services.ingest.parse import Refused
from services.ingest.replies import Answer, PointRequest, Tell
from services.ingest.senders import Senders

Handler = Callable[[PointRequest, Tell], None]


class OrdinaryRequest:
    """A request that came through ASGI, as the senders read it."""

    def __init__(self, request: Request, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        self.method = request.method.encode()
        self.path = request.url.path.encode()
        self.query: bytes = request.scope["query_string"]
        self.headers = headers
        self.content_type = next((value for name, value in headers if name == b"content-type"), b"")
        self.idempotency_key = request.headers.get("idempotency-key", "").encode()
        self.body = body


async def _read(request: Request) -> OrdinaryRequest:
    """The whole body before anything else is awaited: some clients close as soon as they have written."""
    headers = list(request.scope["headers"])
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return OrdinaryRequest(request, await request.body(), headers)
    pairs = await _multipart(request)
    headers = [pair for pair in headers if pair[0] != b"content-type"]
    return OrdinaryRequest(request, urlencode(pairs).encode(), headers)


async def _multipart(request: Request) -> list[tuple[bytes, bytes]]:
    """The fields of a multipart form. Read as Latin-1, so that they come back byte by byte: what is not UTF-8 the
    framework would take for Latin-1, and a wrong name be stored."""
    headers = Headers({"content-type": f"{request.headers['content-type']}; charset=latin-1"})
    try:
        form = await MultiPartParser(headers, request.stream(), max_files=0, max_fields=100).parse()
    except MultiPartException:
        raise BadRequest("the multipart form can't be read") from None
    texts = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in texts]


def _response(answer: Answer) -> Response:
    response = Response(answer.body, answer.status, media_type=answer.content_type.decode())
    for line in answer.headers.split(b"\r\n"):
        if line:
            name, _, value = line.decode("latin-1").partition(": ")
            response.headers[name] = value
    return response


async def ordinary(handler: Handler, request: Request) -> Response:
    """Let a sender's handler answer a request that came through ASGI."""
    answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

    def tell(answer: Answer, principal: Principal | None) -> None:
        if principal is not None:
            exchange = exchange_of(request)
            exchange.principal, exchange.writes = principal, True
        if not answered.done():  # the client may be gone; its points count all the same
            answered.set_result(_response(answer))

    handler(await _read(request), tell)
    return await asyncio.shield(answered)


def _number(sent: object) -> object:
    """As strict as the other dialects: the framework would take `true` and `"1_000"` for numbers."""
    if isinstance(sent, bool):
        raise ValueError("Input should be a number")
    return parse.number(sent.encode(errors="replace"), "it") if isinstance(sent, str) else sent


Number = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(_number, json_schema_input_type=float | str)]


class Count(BaseModel):
    """An increment."""

    count: Number = Field(examples=[1])
    t: Number | None = Field(None, description="Unix seconds; now when left out")


class Value(BaseModel):
    """A measurement."""

    value: Number = Field(examples=[142])
    t: Number | None = Field(None, description="Unix seconds; now when left out")


class Ok(BaseModel):
    msg: str = Field("ok", examples=["ok"])


def router(senders: Senders, intake: Intake) -> APIRouter:
    """Routes of everything that takes points."""
    routes = APIRouter(tags=["Sending"])

    def add(path: str, methods: list[str], handler: Handler, summary: str) -> None:
        async def endpoint(request: Request) -> Response:
            return await ordinary(handler, request)

        for method in methods:
            routes.add_api_route(
                path,
                endpoint,
                methods=[method],
                summary=summary,
                operation_id=f"{method.lower()}_{path.strip('/').replace('/', '_')}",
                openapi_extra=_REQUESTS.get((method, path)),
                responses={200: {"description": "Stored", "content": {"application/json": {"example": _OK.get(path)}}}},
            )

    add("/ez", ["POST", "GET"], senders.ez, "Send a point or a JSON batch, as StatHat's EZ API")
    add("/c", ["POST", "GET"], senders.count, "Count, as StatHat's classic API; GET answers a pixel")
    add("/v", ["POST", "GET"], senders.value, "Send a value, as StatHat's classic API")
    add("/v1/stat", ["POST"], senders.v1_stat, "Send one point")
    add("/v1/stat/count", ["POST"], senders.v1_count, "Count")
    add("/v1/stat/value", ["POST"], senders.v1_value, "Send a value")
    add("/v1/stats", ["POST"], senders.v1_stats, "Send many points")
    add("/api/v1/batch", ["POST"], senders.batch, "Send up to 10,000 points as NDJSON or a JSON array")

    async def record(
        request: Request, principal: Principal, name: str, kind: Kind, number: float, t: float | None
    ) -> Response:
        ended: asyncio.Future[ApiError | None] = asyncio.get_running_loop().create_future()
        now = intake.clock.now()
        try:
            at = round(now * 1e6) if t is None else parse.moment(parse.finite(t, "t"), now)
            point = Single(parse.escape(path_text(name)), kind, number, at, whole=True)
            if request_id := request.headers.get("idempotency-key"):
                point.item = item_id(principal, f"request:{request_id}")
            intake.single(principal, point, lambda error: None if ended.done() else ended.set_result(error))
        except Refused as error:
            raise BadRequest(str(error), param=error.param) from None
        if (refused := await asyncio.shield(ended)) is not None:
            raise refused
        return Response(b'{"msg":"ok"}', media_type="application/json")

    Writer = Annotated[Principal, Depends(bearer(WRITE))]

    @routes.post("/api/v1/stats/{name}/count", summary="Increment a counter", response_model=Ok)
    async def count(request: Request, name: str, body: Count, principal: Writer) -> Any:
        """The stat is created when it is missing; a gauge answers 409 `type_mismatch`."""
        return await record(request, principal, name, "counter", body.count, body.t)

    @routes.post("/api/v1/stats/{name}/value", summary="Record a value of a gauge", response_model=Ok)
    async def value(request: Request, name: str, body: Value, principal: Writer) -> Any:
        """The stat is created when it is missing; a counter answers 409 `type_mismatch`."""
        return await record(request, principal, name, "gauge", body.value, body.t)

    return routes


def _schema(value: object) -> dict[str, str]:
    return {"type": "number" if isinstance(value, int | float) else "string"}


def _form(example: dict[str, Any], needed: list[str]) -> dict[str, Any]:
    properties = {name: _schema(value) for name, value in example.items()}
    schema = {"type": "object", "properties": properties, "required": needed}
    return {"requestBody": {"content": {"application/x-www-form-urlencoded": {"schema": schema, "example": example}}}}


def _query(example: dict[str, Any], needed: list[str]) -> dict[str, Any]:
    return {
        "parameters": [
            {"name": name, "in": "query", "required": name in needed, "schema": _schema(value), "example": value}
            for name, value in example.items()
        ]
    }


def _json(example: Any) -> dict[str, Any]:
    body = {"content": {"application/json": {"schema": {}, "example": example}}}
    return {"requestBody": body, "security": [{"bearer": []}]}


_KEY = "ss_live_xxx"
_OK: dict[str, Any] = {
    "/ez": {"status": 200, "msg": "ok"}, "/c": {"status": 200, "msg": "ok"}, "/v": {"status": 200, "msg": "ok"},
    "/v1/stat": {"msg": "ok"}, "/v1/stat/count": {"msg": "ok"}, "/v1/stat/value": {"msg": "ok"},
    "/v1/stats": {"msg": "ok", "accepted": 2}, "/api/v1/batch": {"accepted": 2},
}  # fmt: skip
_ROWS = [{"stat": "signups", "count": 1}, {"stat": "latency", "value": 42}]
_Row = tuple[dict[str, Any], list[str]]
_EZ: _Row = ({"ezkey": _KEY, "stat": "api_requests", "count": 1}, ["ezkey", "stat"])
_COUNT: _Row = ({"key": "api_requests", "ukey": _KEY, "count": 1}, ["key", "ukey"])
_VALUE: _Row = ({"key": "response_time", "ukey": _KEY, "value": 142}, ["key", "ukey", "value"])
_REQUESTS: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/ez"): _form(*_EZ), ("GET", "/ez"): _query(*_EZ),
    ("POST", "/c"): _form(*_COUNT), ("GET", "/c"): _query(*_COUNT),
    ("POST", "/v"): _form(*_VALUE), ("GET", "/v"): _query(*_VALUE),
    ("POST", "/v1/stat"): _json({"stat": "my_metric", "count": 1}),
    ("POST", "/v1/stat/count"): _json({"stat": "page_views", "count": 1}),
    ("POST", "/v1/stat/value"): _json({"stat": "response_time", "value": 142.5}),
    ("POST", "/v1/stats"): _json({"stats": _ROWS}),
    ("POST", "/api/v1/batch"): _json(_ROWS),
}  # fmt: skip
