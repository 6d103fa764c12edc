"""StatHat's export API: `/x/<token>/…`. The token is an account key; logs show the path's template, never the path."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

from libs.contracts.accounts import KeyKind
from libs.http.credentials import process_of, require_scope
from libs.http.errors import BadRequest, Unauthorized
from libs.http.exchange import exchange_of
from libs.http.limits import Limit
from libs.http.paths import path_text
from libs.http.principal import Principal
from services.ingest import answers
from services.ingest.api.stats import actor
from services.ingest.application import Application
from services.ingest.stathat import StatHat, summary, timeframe

MOST_STATS = 100
_KINDS: frozenset[KeyKind] = frozenset(("account", "self_hosted"))

_NO_ALERTS: dict[int | str, dict[str, Any]] = {200: {"content": {"application/json": {"example": []}}}}

Token = Annotated[str, Path(description="An account key with stats:read", examples=["ss_live_…"])]


class XStat(BaseModel):
    """A stat as StatHat showed it."""

    id: str = Field(examples=["0199c1d2-7e5b-7c3a-9b1e-2f4a6c8d0e1f"])
    name: str = Field(examples=["signups"])
    public: bool
    counter: bool = Field(examples=[True])
    unit: str
    classic_key: str
    created_at: str = Field(examples=["2026-03-01T00:00:00.000Z"])


class XPoint(BaseModel):
    time: int = Field(description="Unix seconds", examples=[1772323200])
    value: float


class XSeries(BaseModel):
    """Points of a stat; gaps are 0."""

    name: str
    timeframe: str = Field(examples=["1w3h"])
    points: list[XPoint]


class XMessage(BaseModel):
    msg: str = Field(examples=["stat deleted."])


def _json(answer: Any) -> Response:
    return Response(answers.encode(answer), media_type="application/json")


async def _caller(request: Request, token: str, scope: str) -> Principal:
    process = process_of(request)
    assert process.ring is not None
    principal = await process.ring.find(path_text(token).encode())
    if principal is None:
        raise Unauthorized
    require_scope(principal.facts, scope, _KINDS)
    exchange = exchange_of(request)
    exchange.principal = principal
    if not principal.facts.unlimited:
        limit = Limit(process.settings.read_rate, 60)
        exchange.allowance = await process.limiter.check("key", str(principal.facts.key_id), limit)
    return principal


def router(stathat: StatHat, application: Application) -> APIRouter:
    routes = APIRouter(prefix="/x/{token}", tags=["StatHat export"])

    @routes.get("/statlist", response_model=list[XStat], summary="List stats")
    async def statlist(request: Request, token: Token, offset: Annotated[int, Query(ge=0, le=10**9)] = 0) -> Response:
        """10,000 at a time."""
        facts = (await _caller(request, token, "stats:read")).facts
        return _json(await stathat.stats(facts.account, facts.mode, offset))

    @routes.get("/stat", response_model=XStat, summary="A stat by its name")
    async def stat(request: Request, token: Token, name: Annotated[str, Query(max_length=1000)]) -> Response:
        """404 when there is none of that name."""
        facts = (await _caller(request, token, "stats:read")).facts
        return _json(await stathat.stat(facts.account, facts.mode, name))

    @routes.get("/data/{stats:path}", response_model=list[XSeries], summary="Points of stats")
    async def data(
        request: Request,
        token: Token,
        stats: Annotated[str, Path(description="Ids, with slashes between them")],
        t: Annotated[str, Query(max_length=20, description="Length and interval", examples=["1w3h"])] = "1w3h",
        start: Annotated[float | None, Query(ge=0, le=253_402_300_799, allow_inf_nan=False)] = None,
        summary_: Annotated[str, Query(alias="summary", max_length=10, description="Daily, instead of t")] = "",
    ) -> Response:
        """A counter's points are sums, a gauge's means; gaps are 0. `start` is Unix seconds."""
        facts = (await _caller(request, token, "stats:read")).facts
        names = [path_text(name) for name in stats.split("/") if name]
        if not 1 <= len(names) <= MOST_STATS:
            raise BadRequest(f"ask for 1 to {MOST_STATS} stats")
        wanted = summary(summary_) if summary_ else timeframe(t)
        return _json(await stathat.data(facts.account, facts.mode, names, wanted, start))

    @routes.delete("/stats/{stat}", response_model=XMessage, summary="Delete a stat and all its points")
    async def delete(request: Request, token: Token, stat: str) -> Response:
        """Irreversible. Needs a key with the scope `account`."""
        principal = await _caller(request, token, "account")
        facts = principal.facts
        await application.delete(facts.account, facts.mode, path_text(stat), actor(principal))
        return _json({"msg": "stat deleted."})

    @routes.get("/alerts", response_model=list[dict[str, Any]], summary="List alerts", responses=_NO_ALERTS)
    async def alerts(request: Request, token: Token) -> Response:
        """Rules of EzStat are at `/api/v1/alerts`; none of them is one of StatHat's."""
        await _caller(request, token, "stats:read")
        return _json([])

    return routes
