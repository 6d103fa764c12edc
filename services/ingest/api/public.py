"""Key-less tracking, and looking at it for who has claimed a name."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from libs.http.credentials import bearer, process_of
from libs.http.errors import BadRequest
from libs.http.exchange import exchange_of
from libs.http.limits import Limit
from libs.http.paths import path_text
from libs.http.principal import Principal
from libs.runtime.clock import Clock
from services.ingest import answers, parse
from services.ingest.api.sending import Number, Ok
from services.ingest.api.stats import StatList, StatWithPoints, asked, decode_cursor, encode_cursor
from services.ingest.batches import one_of
from services.ingest.parse import Refused
from services.ingest.public.intake import PublicIntake
from services.ingest.public.names import Mvp, Names, checked
from services.ingest.reading import Asked, Reading

MOST_ROWS = 1000
_CLAIMS = Limit(10, 60)

Claim = Annotated[str, Field(min_length=8, max_length=128)]


class PublicPoint(BaseModel):
    """A point without a key. Send count or value."""

    mvp: str = Field(examples=["myapp"], description="Name-space: 1 to 64 of A-Z a-z 0-9 . _ -")
    stat: str = Field(examples=["page_views"])
    count: Number | None = Field(None, examples=[1])
    value: Number | None = None
    t: Number | None = Field(None, description="Unix seconds; now when left out")
    claim: Claim | None = Field(
        None, description="Sent with the first point of an mvp: who knows it may claim the name"
    )


class NewClaim(BaseModel):
    mvp: str = Field(examples=["myapp"])
    claim: Claim = Field(examples=["a long random text"])


class MvpOut(BaseModel):
    """A claimed mvp."""

    mvp: str = Field(examples=["myapp"])
    stats: int = Field(examples=[3])
    claimed_at: str = Field(examples=["2026-03-01T00:00:00.000Z"])


class MvpList(BaseModel):
    mvps: list[MvpOut]
    next_cursor: str | None


def _json(answer: Any) -> Response:
    return Response(answers.encode(answer), media_type="application/json")


def router(public: PublicIntake, names: Names, reading: Reading, clock: Clock) -> APIRouter:
    routes = APIRouter(tags=["Public tracking"])
    Reader = Annotated[Principal, Depends(bearer("stats:read"))]
    Owner = Annotated[Principal, Depends(bearer("account"))]
    Asks = Annotated[Asked, Depends(asked)]

    @routes.post("/api/public", response_model=Ok, summary="Send a point without a key")
    async def record(request: Request, body: PublicPoint) -> Any:
        """Kept for 30 days, at most 100 stats for one mvp, a few requests a second from one address."""
        now = clock.now()
        try:
            kind, value = one_of(body.count, body.value)
            time = round(now * 1e6) if body.t is None else parse.moment(body.t, now)
            stat = parse.single_name(body.stat.encode(errors="surrogatepass"), "stat")
        except Refused as error:
            raise BadRequest(str(error), param=error.param) from None
        address = exchange_of(request).client
        await public.record(address, checked(body.mvp), body.claim or "", stat, kind, value, time)
        return _json({"msg": "ok"})

    @routes.post("/api/v1/mvps/claim", response_model=MvpOut, summary="Claim an mvp name")
    async def claim(request: Request, body: NewClaim, principal: Owner) -> Any:
        """With the token that came with its first point. From then on its stats can be looked at here."""
        account = principal.facts.account
        await process_of(request).limiter.check("claim", str(account), _CLAIMS)
        name = checked(body.mvp)
        return _json(_shown(await names.claim(account, name, body.claim)))

    @routes.get("/api/v1/mvps", response_model=MvpList, summary="List claimed mvps")
    async def mvps(
        principal: Reader, limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = MOST_ROWS, cursor: str = ""
    ) -> Any:
        """In the order of their names."""
        found = await names.claimed(principal.facts.account, decode_cursor(cursor) if cursor else "", limit + 1)
        more = encode_cursor(found[limit - 1].mvp) if len(found) > limit else None
        return _json({"mvps": [_shown(mvp) for mvp in found[:limit]], "next_cursor": more})

    @routes.get("/api/v1/mvps/{mvp}/stats", response_model=StatList, summary="List stats of a claimed mvp")
    async def stats(mvp: str, principal: Reader) -> Any:
        """All of them: there are at most 100."""
        namespace = await names.namespace(principal.facts.account, path_text(mvp))
        rows = await reading.stats(namespace, "live", "", MOST_ROWS, "")
        return _json({"stats": [answers.stat(row) for row in rows], "next_cursor": None})

    @routes.get("/api/v1/mvps/{mvp}/stats/{name}", response_model=StatWithPoints, summary="A stat of a claimed mvp")
    async def stat(mvp: str, name: str, principal: Reader, asked: Asks) -> Any:
        """As `GET /api/v1/stats/{name}`."""
        namespace = await names.namespace(principal.facts.account, path_text(mvp))
        return _json(await reading.stat(namespace, "live", path_text(name), asked))

    return routes


def _shown(mvp: Mvp) -> dict[str, Any]:
    return {"mvp": mvp.mvp, "stats": mvp.stats, "claimed_at": answers.stamp(mvp.claimed_at)}
