"""Faults 12 and 13: frames that nobody can read, and frames that come again, among those of an honest load."""

import asyncio
import math
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator
from uuid import uuid4

import nats
import psycopg
import pytest
from nats.js import JetStreamContext

from libs.contracts.ingest import Frame, Source, encode_frame, points_stream, points_subject
from tests.eventually import eventually
from tests.faults.accounting import Account, loading, settle
from tests.faults.long import LONG
from tests.running import Ezstat, running

pytestmark = pytest.mark.fault

PARKED_WITHIN = 10.0


@pytest.fixture(scope="module")
def ezstat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ezstat]:
    """An installation of its own: what is parked here must not show elsewhere."""
    with running(tmp_path_factory.mktemp("frames") / "data") as started:
        yield started


@pytest.fixture
async def bus(ezstat: Ezstat) -> AsyncIterator[JetStreamContext]:
    """The bus as an intruder with the password would have it."""
    client = await nats.connect(ezstat.urls["nats"])
    yield client.jetstream()
    await client.close()


@pytest.fixture(scope="module")
def key(ezstat: Ezstat) -> str:
    return ezstat.sign_up().key()


def frame(**changed: object) -> Frame:
    """A frame of one point of a stat that nobody has."""
    source = Source(uuid4(), "live", None, "poison", "counter", None)
    ordinary: dict[str, object] = {
        "version": 1, "epoch": uuid4(), "seq": 1, "received": round(time.time() * 1e6), "imported": False,
        "sources": [source], "index": struct.pack("<H", 0), "times": struct.pack("<q", 0),
        "values": struct.pack("<d", 1.0), "items": [],
    }  # fmt: skip
    return Frame(**ordinary | changed)  # type: ignore[arg-type]


def nameless() -> bytes:
    return encode_frame(frame(sources=[Source(uuid4(), "live", None, "\0", "counter", None)]))


POISON: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "text": lambda: b"no frame at all",
    "another message": lambda: b"\x93\x01\x02\x03",
    "half a frame": lambda: encode_frame(frame())[:-10],
    "a frame and more": lambda: encode_frame(frame()) + b"more",
    "columns of unequal length": lambda: encode_frame(frame(times=struct.pack("<qq", 1, 2))),
    "a source that is not there": lambda: encode_frame(frame(index=struct.pack("<H", 7))),
    "a name that no stat can have": nameless,
    "no number": lambda: encode_frame(frame(values=struct.pack("<d", math.nan))),
}


def parked(ezstat: Ezstat) -> list[tuple[int, str]]:
    """(stream sequence, reason) of what ingest's writer could not handle."""
    with psycopg.connect(ezstat.urls["postgres"]) as connection:
        return connection.execute("select sequence, reason from ingest.parked").fetchall()


async def inject(bus: JetStreamContext, body: bytes) -> int:
    return (await bus.publish(points_subject(0), body)).seq


async def test_poison_is_parked_with_its_reason_and_its_neighbours_are_exact(
    ezstat: Ezstat, bus: JetStreamContext, key: str
) -> None:
    poison: dict[int, str] = {}
    async with loading(ezstat.url, key, "poisoned", senders=4) as account:
        for what, body in POISON.items():
            poison[await inject(bus, body())] = what
            await asyncio.sleep(0.1)
    await settle(ezstat.url, key, "poisoned", account)

    async def all_parked() -> bool:
        found = dict(await asyncio.to_thread(parked, ezstat))
        return all(found.get(sequence) for sequence in poison)

    try:
        await eventually(all_parked, within=PARKED_WITHIN)
    except AssertionError:
        found = dict(parked(ezstat))
        raise AssertionError(f"not parked: {[what for at, what in poison.items() if at not in found]}") from None


async def test_frames_that_come_again_count_once(ezstat: Ezstat, bus: JetStreamContext, key: str) -> None:
    """Every frame that the stream holds, once more without a message id, so that no window of NATS' hides it: first
    while the load goes on, then all again."""
    async with loading(ezstat.url, key, "again", senders=4) as account:
        await asyncio.sleep(0.5)
        await repeat(bus)
        await asyncio.sleep(0.2)
    await settle(ezstat.url, key, "again", account)
    for _ in range(3 if LONG else 1):
        await repeat(bus)
    await still_exact(ezstat, key, account)


async def repeat(bus: JetStreamContext) -> None:
    """Publish the youngest frames again, those of other tests too."""
    stream = points_stream(0)
    state = (await bus.stream_info(stream)).state
    for sequence in range(max(state.first_seq, state.last_seq - (5000 if LONG else 300)), state.last_seq + 1):
        try:
            message = await bus.get_msg(stream, sequence)
        except nats.js.errors.NotFoundError:
            continue
        if message.data:
            await bus.publish(points_subject(0), message.data)


async def still_exact(ezstat: Ezstat, key: str, account: Account) -> None:
    """Once what was sent after all of it is there."""
    async with loading(ezstat.url, key, "after", senders=2) as after:
        await asyncio.sleep(0.5)
    await settle(ezstat.url, key, "after", after)
    await settle(ezstat.url, key, "again", account)
