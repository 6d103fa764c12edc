"""Server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
from fastapi.responses import StreamingResponse

from libs.http.principal import Principal
from libs.runtime.clock import Clock

HEARTBEAT = 15.0

Next = Callable[[], Awaitable[bytes | None]]
"""The next event, within about half a second: b"" when there is none yet, None when there won't be any more."""


def event(name: str, data: Any) -> bytes:
    """An event with JSON data."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode(data))


def answer(events: AsyncIterator[bytes]) -> StreamingResponse:
    """An answer that is a stream of events."""
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


async def stream(principal: Principal, stopping: asyncio.Event, clock: Clock, following: Next) -> AsyncIterator[bytes]:
    """Events until there are no more, the key they were asked for with is dead, or the process ends."""
    yield b": open\n\n"
    said = clock.monotonic()
    while principal.valid(clock.now()) and not stopping.is_set():
        data = await following()
        if data is None:
            return
        if not data and clock.monotonic() - said >= HEARTBEAT:
            data = b": still here\n\n"
        if data:
            said = clock.monotonic()
            yield data
