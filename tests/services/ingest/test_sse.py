"""Event streams end when they should, and say so often enough that they are still there."""

import asyncio
from uuid import uuid4

from libs.contracts.accounts import KeyFacts
from libs.http.principal import Principal
from libs.http.write_bucket import Unmetered
from services.ingest import sse


class Ticking:
    """A clock that every look moves on by a second."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def monotonic(self) -> float:
        self.seconds += 1
        return self.seconds


def principal() -> Principal:
    return Principal(KeyFacts(key_id=uuid4(), account=uuid4(), kind="account"), b"", b"", Unmetered())


async def quiet() -> bytes | None:
    return b""


async def test_a_quiet_stream_beats() -> None:
    stream = sse.stream(principal(), asyncio.Event(), Ticking(), quiet)
    assert [await anext(stream) for _ in range(3)] == [b": open\n\n", b": still here\n\n", b": still here\n\n"]


async def test_a_stream_ends_with_its_process() -> None:
    stopping = asyncio.Event()
    stream = sse.stream(principal(), stopping, Ticking(), quiet)
    await anext(stream)
    stopping.set()
    assert [event async for event in stream] == []


async def test_a_stream_ends_with_its_key() -> None:
    caller = principal()
    stream = sse.stream(caller, asyncio.Event(), Ticking(), quiet)
    await anext(stream)
    caller.alive = False
    assert [event async for event in stream] == []


async def test_a_stream_ends_with_its_events() -> None:
    events = [sse.event("x", {"a": 1}), None]

    async def following() -> bytes | None:
        return events.pop(0)

    told = [event async for event in sse.stream(principal(), asyncio.Event(), Ticking(), following)]
    assert told == [b": open\n\n", b'event: x\ndata: {"a":1}\n\n']
