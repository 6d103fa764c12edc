"""Export: everything an account has, as a file."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from libs.http.credentials import bearer
from libs.http.errors import BadRequest
from libs.http.principal import Principal
from libs.runtime.clock import Clock
from libs.series.ranges import BadRange, moment
from services.ingest.export import Export, Wanted
from services.ingest.export_formats import FORMATS, Format

_EXAMPLES: dict[str, Any] = {
    "application/json": {
        "example": {
            "format": "ezstat",
            "version": 1,
            "exported_at": "2026-03-01T00:00:00.000Z",
            "stats": [{"stat": "signups", "type": "counter", "points": [[1772323200, 1], [1772323260.25, 2]]}],
        }
    },
    "application/x-ndjson": {"example": '{"stat":"signups","type":"counter","count":1,"t":1772323200}\n'},
    "text/csv": {"example": "stat,type,t,value\r\nsignups,counter,2026-03-01T00:00:00.000000Z,1\r\n"},
}


def router(export: Export, clock: Clock) -> APIRouter:
    routes = APIRouter(tags=["Export and import"])
    Reader = Annotated[Principal, Depends(bearer("stats:read"))]

    @routes.get(
        "/api/v1/export",
        summary="Export stats and their points",
        response_class=StreamingResponse,
        responses={200: {"description": "The file, as long as it gets", "content": _EXAMPLES}},
    )
    async def export_(
        principal: Reader,
        format_: Annotated[Literal["json", "ndjson", "csv"], Query(alias="format")] = "json",
        stat: Annotated[list[str], Query(description="Names or ids; all when left out", max_length=1000)] = [],  # noqa: B006
        start: Annotated[str, Query(alias="from", max_length=40)] = "",
        to: Annotated[str, Query(max_length=40)] = "",
    ) -> StreamingResponse:
        """The result can be imported again and gives the same stats and points. `from` and `to` are dates (`to`
        includes its whole day), RFC 3339 or Unix seconds; without them everything there is."""
        facts = principal.facts
        wanted = Wanted(facts.account, facts.mode, stat, _moment(start, "from"), _moment(to, "to", end=True))
        await export.check(wanted)
        written = FORMATS[format_]()
        name = f"ezstat-{datetime.fromtimestamp(clock.now(), UTC):%Y-%m-%d}.{format_}"
        return StreamingResponse(
            _stream(principal, export, wanted, written, clock),
            media_type=written.media_type,
            headers={"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"},
        )

    return routes


def _moment(text: str, param: str, *, end: bool = False) -> float | None:
    try:
        return moment(text, param, end=end) if text else None
    except BadRange as error:
        raise BadRequest(str(error), param=error.param) from None


class Revoked(Exception):
    """The key died while its export was under way: the answer is cut off."""


async def _stream(
    principal: Principal, export: Export, wanted: Wanted, written: Format, clock: Clock
) -> AsyncIterator[bytes]:
    yield written.head(clock.now())
    async with contextlib.aclosing(export.chunks(wanted)) as chunks:
        async for chunk in chunks:
            if not principal.alive:
                raise Revoked
            # In a thread: 10,000 points take some 20 ms, and senders are waiting.
            yield await asyncio.to_thread(written.chunk, chunk)
    yield written.tail()
