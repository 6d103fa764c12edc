"""What senders speak: `/ez`, `/c`, `/v`, `/v1/stat*`, `/api/v1/batch`. Each handler reads one request and gives its
points to the intake; the hot path and the FastAPI routes call the same ones."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import msgspec

from libs.contracts.ingest import Kind
from libs.http.errors import ApiError, BadRequest, Forbidden, Unauthorized, UnsupportedMedia
from libs.http.principal import Principal
from services.ingest import parse
from services.ingest.batches import Row, item_id, one_of
from services.ingest.intake import Intake, Single
from services.ingest.parse import Refused
from services.ingest.replies import OK_EZ, OK_GIF, OK_V1, OPEN, Answer, PointRequest, Reply, Tell

MAX_ROWS = 10_000
Fields = dict[bytes, bytes]
_FORM = b"application/x-www-form-urlencoded"
T = TypeVar("T")
_KNOWN_FORMS = 4096
_KNOWN_SIZE = 512


class _EzBody(msgspec.Struct):
    ezkey: str | None = None
    ukey: str | None = None
    email: str | None = None
    data: list[Row] | None = None
    stat: str | None = None
    key: str | None = None
    count: float | str | None = None
    value: float | str | None = None
    t: float | str | None = None
    id: str | None = None


class _Form(NamedTuple):
    """A form on `/ez` as it was understood; `time` in Unix seconds, None: now."""

    secret: bytes
    raw: bytes
    kind: Kind | None
    value: float
    time: float | None


class _V1Body(msgspec.Struct):
    stats: list[Row]


_ez_decoder = msgspec.json.Decoder(_EzBody)
_row_decoder = msgspec.json.Decoder(Row)
_v1_decoder = msgspec.json.Decoder(_V1Body)
_rows_decoder = msgspec.json.Decoder(list[Row])


def _decode(decoder: "msgspec.json.Decoder[T]", body: bytes) -> T:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        where = path.rstrip("`").lstrip(".")
        raise BadRequest(f"{where or 'body'}: {reason}", param=where or None) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest("the body is not valid JSON") from None


def _header(request: PointRequest, name: bytes) -> bytes:
    for key, value in request.headers:
        if key == name:
            return value
    return b""


def _is_json(request: PointRequest) -> bool:
    """JSON by its type, or sent as text/plain (sendBeacon) or without one. Raises 415 for what nobody here reads."""
    if request.content_type == _FORM:
        return False
    content_type = request.content_type.partition(b";")[0].strip().lower()
    if content_type == _FORM:
        return False
    if content_type in (b"application/json", b"application/x-ndjson", b"application/ndjson"):
        return True
    if content_type in (b"", b"text/plain", b"application/octet-stream"):
        return request.body.lstrip()[:1] in (b"{", b"[")
    raise UnsupportedMedia("send a form or JSON")


def _fields(request: PointRequest) -> Fields:
    if not request.query:
        return parse.form(request.body)
    fields = parse.form(request.body) if request.body else {}
    for name, value in parse.form(request.query).items():
        fields.setdefault(name, value)
    return fields


def _bearer(request: PointRequest) -> bytes:
    shown = [value for name, value in request.headers if name == b"authorization"]
    if len(shown) != 1:
        return b""
    scheme, _, secret = shown[0].partition(b" ")
    return secret.strip() if scheme.lower() == b"bearer" else b""


def _number(fields: Fields, name: bytes) -> float | None:
    raw = fields.get(name)
    if not raw:
        return None
    return 1.0 if raw == b"1" else parse.form_number(raw, name.decode())


class Senders:
    """The handlers, over one intake. Each answers exactly once through `tell`."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        # Programs say the same again and again: what a body without a time means is read once.
        self._forms: dict[bytes, _Form] = {}

    def ez(self, request: PointRequest, tell: Tell) -> None:
        """`/ez`: a form, a query string, one JSON point or a JSON batch."""
        reply = Reply(request, OK_EZ, tell)
        self._guard(reply, self._ez, request, reply)

    def count(self, request: PointRequest, tell: Tell) -> None:
        """`/c`: one counter by name, id or classic key; GET answers the pixel."""
        pixel = request.method == b"GET"
        image = pixel and b"image/" in _header(request, b"accept")
        reply = Reply(request, OK_GIF if pixel else OK_EZ, tell, image=image)
        self._guard(reply, self._classic, request, reply, "counter")

    def value(self, request: PointRequest, tell: Tell) -> None:
        """`/v`: one gauge by name, id or classic key."""
        reply = Reply(request, OK_EZ, tell)
        self._guard(reply, self._classic, request, reply, "gauge")

    def v1_stat(self, request: PointRequest, tell: Tell) -> None:
        """`POST /v1/stat`: one point in JSON; of count and value the one that is not zero."""
        reply = Reply(request, OK_V1, tell)
        self._guard(reply, self._v1_one, request, reply, None)

    def v1_count(self, request: PointRequest, tell: Tell) -> None:
        reply = Reply(request, OK_V1, tell)
        self._guard(reply, self._v1_one, request, reply, "counter")

    def v1_value(self, request: PointRequest, tell: Tell) -> None:
        reply = Reply(request, OK_V1, tell)
        self._guard(reply, self._v1_one, request, reply, "gauge")

    def v1_stats(self, request: PointRequest, tell: Tell) -> None:
        """`POST /v1/stats {"stats":[…]}`: a batch."""
        self._guard(Reply(request, OK_V1, tell), self._v1_many, request, tell)

    def batch(self, request: PointRequest, tell: Tell) -> None:
        """`POST /api/v1/batch`: NDJSON or a JSON array, up to 10,000 rows."""
        self._guard(Reply(request, OK_V1, tell), self._batch, request, tell)

    @staticmethod
    def _guard(reply: Reply, handle: Callable[..., None], *args: object) -> None:
        try:
            handle(*args)
        except Refused as error:
            reply(BadRequest(str(error), param=error.param))
        except ApiError as error:
            reply(error)

    def _single(self, secret: bytes, point: Single, reply: Reply, request: PointRequest, *, ez: bool = True) -> None:
        principal = self._intake.ring.known(secret)
        if principal is None:
            self._intake.when_known(secret, lambda found: self._single_for(found, point, reply, request, ez), reply)
        else:
            self._single_for(principal, point, reply, request, ez)

    def _single_for(self, principal: Principal, point: Single, reply: Reply, request: PointRequest, ez: bool) -> None:
        reply.principal = principal
        if not ez:
            _no_ez_key(principal)
        if request_id := request.idempotency_key:
            point.item = item_id(principal, f"request:{request_id.decode('latin-1')}")
        self._intake.single(principal, point, reply)

    def _many(
        self,
        secret: bytes,
        rows: list[Row],
        reply: Reply,
        request: PointRequest,
        *,
        ez: bool = False,
        otherwise: Kind | None = "counter",
    ) -> None:
        if len(rows) > MAX_ROWS:
            raise BadRequest(f"at most {MAX_ROWS:,} rows at once")
        request_id = request.idempotency_key.decode("latin-1")

        def take(principal: Principal) -> None:
            reply.principal = principal
            if not ez:
                _no_ez_key(principal)
            self._intake.many(principal, rows, reply, otherwise=otherwise, request_id=request_id)

        self._intake.when_known(secret, take, reply)

    def _ez(self, request: PointRequest, reply: Reply) -> None:
        known = self._forms.get(request.body) if request.content_type == _FORM and not request.query else None
        if known is None:
            if _is_json(request):
                self._ez_json(request, reply)
                return
            known = self._read_form(request)
        now = self._intake.clock.now()
        at = round(now * 1e6) if known.time is None else parse.moment(known.time, now)
        self._single(known.secret, Single(known.raw, known.kind, known.value, at), reply, request)

    def _read_form(self, request: PointRequest) -> "_Form":
        fields = _fields(request)
        named = parse.unescape(fields.get(b"ezkey") or fields.get(b"email") or fields.get(b"ukey") or b"")
        secret = named or _bearer(request)
        if not secret:
            raise Unauthorized
        raw = fields.get(b"stat")
        if not raw:
            raise Refused("stat", "stat is required")
        kind, value = one_of(_number(fields, b"count"), _number(fields, b"value"), otherwise="counter")
        time = fields.get(b"t")
        form = _Form(secret, raw, kind, value, parse.form_number(time, "t") if time else None)
        if named and not time and not request.query and len(request.body) <= _KNOWN_SIZE:
            if len(self._forms) >= _KNOWN_FORMS:
                self._forms.clear()
            self._forms[request.body] = form
        return form

    def _ez_json(self, request: PointRequest, reply: Reply) -> None:
        body = _decode(_ez_decoder, request.body)
        secret = (body.ezkey or body.email or body.ukey or "").encode() or _bearer(request)
        if not secret:
            raise Unauthorized
        if body.data is not None:
            ok = Answer(200, b'{"status":200,"msg":"ok","multiple":%d}' % len(body.data), headers=OPEN)
            rows, many = body.data, Reply(request, ok, reply.tell)
        elif body.stat is not None:
            rows, many = [Row(body.stat, body.count, body.value, body.t, body.id)], reply
        else:
            raise Refused("stat", "stat or data is required")
        self._many(secret, rows, many, request, ez=True)

    def _classic(self, request: PointRequest, reply: Reply, kind: Kind) -> None:
        fields = self._classic_json(request) if request.body and _is_json(request) else _fields(request)
        secret = parse.unescape(fields.get(b"ukey") or fields.get(b"ezkey") or fields.get(b"email") or b"") or _bearer(
            request
        )
        if not secret:
            raise Unauthorized
        raw = fields.get(b"key") or fields.get(b"stat")
        if not raw:
            raise Refused("key", "key is required")
        now = self._intake.clock.now()
        number = _number(fields, b"count" if kind == "counter" else b"value")
        if number is None:
            if kind == "gauge":
                raise Refused("value", "value is required")
            number = 1.0
        time = fields.get(b"t")
        at = parse.moment(parse.form_number(time, "t"), now) if time else round(now * 1e6)
        self._single(secret, Single(raw, kind, number, at, whole=True), reply, request)

    @staticmethod
    def _classic_json(request: PointRequest) -> Fields:
        body = _decode(_ez_decoder, request.body)
        given = {
            "ukey": body.ukey or body.ezkey, "key": body.key or body.stat,
            "count": body.count, "value": body.value, "t": body.t,
        }  # fmt: skip
        return {name.encode(): parse.escape(str(value)) for name, value in given.items() if value is not None}

    def _v1_one(self, request: PointRequest, reply: Reply, kind: Kind | None) -> None:
        if _is_json(request):
            row = _decode(_row_decoder, request.body)
        else:
            fields = {name: parse.text(value, name) for name, value in _fields(request).items()}
            if b"stat" not in fields:
                raise Refused("stat", "stat is required")
            row = Row(fields[b"stat"], fields.get(b"count"), fields.get(b"value"), fields.get(b"t") or None)
        if kind == "counter":
            row.count, row.value = (1.0 if row.count is None else row.count), None
        elif kind == "gauge":
            if row.value is None:
                raise Refused("value", "value is required")
            row.count = None
        self._many(_bearer_of(request), [row], reply, request)

    def _v1_many(self, request: PointRequest, tell: Tell) -> None:
        _is_json(request)
        body = _decode(_v1_decoder, request.body)
        self._accepted(request, body.stats, tell)

    def _accepted(
        self, request: PointRequest, rows: list[Row], tell: Tell, *, otherwise: Kind | None = "counter"
    ) -> None:
        shape = b'{"accepted":%d}' if request.path.startswith(b"/api/") else b'{"msg":"ok","accepted":%d}'
        reply = Reply(request, Answer(200, shape % len(rows)), tell)
        self._many(_bearer_of(request), rows, reply, request, otherwise=otherwise)

    def _batch(self, request: PointRequest, tell: Tell) -> None:
        _is_json(request)
        body = request.body.strip()
        rows = _decode(_rows_decoder, body) if body.startswith(b"[") else _ndjson(body)
        if b'"type"' in body:  # an export says so of a stat without points; it is not one itself
            rows = [row for row in rows if row.type is None or row.count is not None or row.value is not None]
        self._accepted(request, rows, tell, otherwise=None)


def _ndjson(body: bytes) -> list[Row]:
    rows: list[Row] = []
    for number, line in enumerate(body.split(b"\n") if body else ()):
        if line.strip():
            try:
                row = _decode(_row_decoder, line)
            except BadRequest as error:
                raise BadRequest(f"row {number}: {error.message}", param=f"data[{number}]") from None
            rows.append(row)
    return rows


def _bearer_of(request: PointRequest) -> bytes:
    secret = _bearer(request)
    if not secret:
        raise Unauthorized
    return secret


def _no_ez_key(principal: Principal) -> None:
    if principal.facts.kind == "ez":
        raise Forbidden("an EZ key writes through /ez, /c and /v only")
