"""Points as they land, over server-sent events."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import StreamingResponse

from libs.http.credentials import bearer
from libs.http.principal import Principal
from libs.runtime.clock import Clock
from services.ingest import sse
from services.ingest.live import Live

_EVENT = """event: points
data: {"points":[{"id":"…","stat":"signups","type":"counter","t":"2026-03-01T00:00:00.000Z","value":1}],"skipped":0}

"""


def router(live: Live, stopping: asyncio.Event, clock: Clock) -> APIRouter:
    routes = APIRouter(tags=["Live"])
    Reader = Annotated[Principal, Depends(bearer("stats:read"))]

    @routes.get(
        "/api/v1/live",
        summary="Watch points as they land",
        response_class=StreamingResponse,
        responses={200: {"description": "Events `points`", "content": {"text/event-stream": {"example": _EVENT}}}},
    )
    async def live_(principal: Reader) -> StreamingResponse:
        """Server-sent events, at most ten a second with at most 1,000 points each; `skipped` says how many more there
        were. Imported points are left out. A client that reads too slowly is sent away."""
        facts = principal.facts

        async def watch() -> AsyncIterator[bytes]:
            with live.watching(facts.account, facts.mode) as watcher:
                async for data in sse.stream(principal, stopping, clock, watcher.following):
                    yield data

        return sse.answer(watch())

    return routes
