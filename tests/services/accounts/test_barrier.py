"""A revocation waits for every ring that may hold the key, and says so when one can't be asked."""

import asyncio
import os
from uuid import uuid4

import pytest

from libs.bus.connect import Bus
from libs.contracts.accounts import RING_DROP, RING_LEFT, RingBeat, RingDrop, RingDropped
from libs.eventstore.database import Database
from libs.runtime.host import this_host
from services.accounts import queries
from services.accounts.barrier import Barrier, register
from tests.eventually import eventually


@pytest.fixture
async def barrier(bus: Bus, database: Database) -> Barrier:
    """With no ring registered but those of the test."""
    async with database.house() as cursor:
        await cursor.execute("delete from accounts.rings")
    barrier = Barrier(bus, database, deadline=0.3)
    await barrier.start()
    return barrier


async def ring(bus: Bus, database: Database, name: str) -> list[RingDrop]:
    """A registered ring that answers; the list fills with what it was asked to drop."""
    asked: list[RingDrop] = []

    async def drop(message: RingDrop) -> RingDropped:
        asked.append(message)
        return RingDropped(ring=name)

    await register(database, name)
    await bus.listen(RING_DROP, RingDrop, drop)
    return asked


async def test_a_drop_is_done_when_every_ring_has_answered(bus: Bus, database: Database, barrier: Barrier) -> None:
    first = await ring(bus, database, f"far:1:{uuid4().hex}")
    second = await ring(bus, database, f"far:2:{uuid4().hex}")
    assert await barrier.drop(b"digest")
    assert [message.digests for message in (*first, *second)] == [(b"digest",), (b"digest",)]


async def test_a_ring_that_does_not_answer_leaves_the_drop_pending(database: Database, barrier: Barrier) -> None:
    await register(database, "far:3:silent")
    assert not await barrier.drop(b"digest")


async def test_a_ring_that_left_or_died_is_waited_for_no_more(bus: Bus, database: Database, barrier: Barrier) -> None:
    await register(database, "far:4:left")
    await register(database, "far:5:one")
    await bus.broadcast(RING_LEFT, RingBeat(ring="far:4:left"))
    await bus.broadcast(RING_LEFT, RingBeat(ring="far:5:*"))

    async def nobody_left() -> bool:
        async with database.house() as cursor:
            return not await queries.rings(cursor)

    await eventually(nobody_left)
    assert await barrier.drop(b"digest")


async def test_a_process_of_this_machine_that_is_no_more_holds_no_keys(database: Database, barrier: Barrier) -> None:
    process = await asyncio.create_subprocess_exec("true")
    await process.wait()
    await register(database, f"{this_host()}:{process.pid}:gone")
    assert await barrier.drop(b"digest")
    await register(database, f"{this_host()}:{os.getpid()}:here")
    assert not await barrier.drop(b"digest")


async def test_a_new_process_under_an_old_number_takes_the_place_of_its_ring(
    database: Database, barrier: Barrier
) -> None:
    await register(database, "far:7:before")
    await register(database, "far:7:after")
    await register(database, "far:71:another")
    async with database.house() as cursor:
        assert await queries.rings(cursor) == {"far:7:after", "far:71:another"}


async def test_nothing_to_drop_asks_nobody(database: Database, barrier: Barrier) -> None:
    await register(database, "far:6:silent")
    assert await barrier.drop()
