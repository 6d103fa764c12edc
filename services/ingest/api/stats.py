"""Stats: list, create, read, describe, delete; the dashboard."""

import base64
import binascii
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from libs.http.credentials import bearer
from libs.http.errors import BadRequest
from libs.http.paths import path_text
from libs.http.principal import Principal
from services.ingest import answers
from services.ingest.application import Application
from services.ingest.domain import clean_name
from services.ingest.reading import Asked, Reading

MOST_ROWS = 1000


class StatOut(BaseModel):
    """A stat."""

    id: str = Field(examples=["0199c1d2-7e5b-7c3a-9b1e-2f4a6c8d0e1f"])
    name: str = Field(examples=["signups"])
    type: Literal["counter", "gauge"]
    unit: str
    description: str
    colour: str
    pinned: bool
    tags: list[str]
    created_at: str
    last_point_at: str | None
    share: dict[str, Any] | None


class StatList(BaseModel):
    stats: list[StatOut]
    next_cursor: str | None


class Point(BaseModel):
    """A bucket or, with `resolution=raw`, a point as sent. Gauges say more than their mean."""

    t: str = Field(examples=["2026-03-01T00:00:00.000Z"])
    value: float
    min: float | None = None
    max: float | None = None
    last: float | None = None
    n: int | None = None
    p95: float | None = None


class Summary(BaseModel):
    """What the range comes to: `total` of a counter, `mean` of a gauge; `change` in % against the period before."""

    total: float | None = None
    mean: float | None = None
    min: float | None
    max: float | None
    last: float | None
    n: int
    previous: float | None
    change: float | None


class StatWithPoints(BaseModel):
    model_config = {"populate_by_name": True}

    stat: StatOut
    start: str = Field(alias="from")
    to: str
    resolution: str
    points: list[Point]
    summary: Summary


class NewStat(BaseModel):
    """Both are required."""

    name: str = Field(examples=["new_stat"])
    type: Literal["counter", "gauge"] = Field(examples=["counter"])


class Description(BaseModel):
    """What is left out stays as it is."""

    unit: str | None = Field(None, examples=["ms"])
    description: str | None = None
    colour: str | None = Field(None, examples=["#0f766e"])
    pinned: bool | None = None


def _json(answer: Any, status: int = 200) -> Response:
    return Response(answers.encode(answer), status, media_type="application/json")


def encode_cursor(name: str) -> str:
    """An opaque cursor."""
    return base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    try:
        return clean_name(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode())
    except (ValueError, binascii.Error):
        raise BadRequest("cursor is not one of ours", param="cursor") from None


def actor(principal: Principal) -> str:
    """Who did it, for the audit log."""
    facts = principal.facts
    return f"user:{facts.user}" if facts.kind == "session" else f"key:{facts.key_id}"


def router(application: Application, reading: Reading) -> APIRouter:
    routes = APIRouter(tags=["Stats"])
    Reader = Annotated[Principal, Depends(bearer("stats:read"))]
    Writer = Annotated[Principal, Depends(bearer("stats:write"))]
    Asks = Annotated[Asked, Depends(asked)]

    @routes.get("/api/v1/stats", response_model=StatList, summary="List stats")
    async def stats(
        principal: Reader,
        limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = MOST_ROWS,
        cursor: str = "",
        search: Annotated[str, Query(max_length=255)] = "",
    ) -> Any:
        """In the order of their names; `search` finds a part of a name."""
        facts = principal.facts
        after = decode_cursor(cursor) if cursor else ""
        rows = await reading.stats(facts.account, facts.mode, after, limit + 1, search)
        more = encode_cursor(rows[limit - 1].name) if len(rows) > limit else None
        return _json({"stats": [answers.stat(row) for row in rows[:limit]], "next_cursor": more})

    @routes.post("/api/v1/stats", status_code=201, response_model=StatOut, summary="Create a stat")
    async def create(body: NewStat, principal: Writer) -> Any:
        """Stats are also created by their first point. 409 when the name is taken."""
        facts = principal.facts
        row = await application.create(facts.account, facts.mode, body.name, body.type, actor(principal))
        return _json(answers.stat(row), 201)

    @routes.get("/api/v1/stats/{name}", response_model=StatWithPoints, summary="A stat with its points")
    async def stat(name: str, principal: Reader, asked: Asks) -> Any:
        """`name` is percent-encoded, `/` included; the stat's id works too. `from` and `to` are dates (`to` includes
        its whole day), RFC 3339 or Unix seconds; or send `range`."""
        facts = principal.facts
        return _json(await reading.stat(facts.account, facts.mode, path_text(name), asked))

    @routes.patch("/api/v1/stats/{name}", response_model=StatOut, summary="Describe a stat")
    async def describe(name: str, body: Description, principal: Writer) -> Any:
        """Unit, description, colour, pinned."""
        facts = principal.facts
        changes = body.model_dump(exclude_none=True)
        row = await application.describe(facts.account, facts.mode, path_text(name), changes, actor(principal))
        return _json(answers.stat(row))

    @routes.delete("/api/v1/stats/{name}", status_code=204, summary="Delete a stat and all its points")
    async def delete(name: str, principal: Writer) -> Response:
        """Irreversible."""
        facts = principal.facts
        await application.delete(facts.account, facts.mode, path_text(name), actor(principal))
        return Response(status_code=204)

    @routes.get("/api/v1/dashboard", summary="Dashboard data", tags=["Dashboard"])
    async def dashboard(
        principal: Reader,
        range_: Annotated[Literal["1h", "6h", "24h", "7d", "30d", "90d", "1y"], Query(alias="range")] = "24h",
        limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = 200,
    ) -> Response:
        """Totals, a summary and sparkline for each stat, the newest stats."""
        facts = principal.facts
        return _json(await reading.dashboard(facts.account, facts.mode, range_, limit))

    @routes.get("/v1/stat/{name}", summary="A stat with its recent points", tags=["StatFlow"])
    async def v1_stat(name: str, principal: Reader, asked: Asks) -> Response:
        facts = principal.facts
        return _json(await reading.stat(facts.account, facts.mode, path_text(name), asked))

    @routes.get("/v1/stats", summary="List stats", tags=["StatFlow"])
    async def v1_stats(principal: Reader) -> Response:
        facts = principal.facts
        rows = await reading.stats(facts.account, facts.mode, "", MOST_ROWS, "")
        return _json({"stats": [answers.stat(row) for row in rows]})

    return routes


def asked(
    range_: Annotated[str, Query(alias="range", max_length=8)] = "",
    start: Annotated[str, Query(alias="from", max_length=40)] = "",
    to: Annotated[str, Query(max_length=40)] = "",
    resolution: Annotated[str, Query(max_length=8)] = "auto",
) -> Asked:
    return Asked(range_, start, to, resolution)
