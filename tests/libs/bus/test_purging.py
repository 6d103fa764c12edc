from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from libs.bus import streams
from libs.bus.connect import Bus
from libs.bus.pull import Pull
from libs.bus.purging import purge_processed
from libs.runtime.settings import Settings
from tests.eventually import eventually

LATER = datetime.now(UTC) + timedelta(days=2)


@pytest.fixture
async def pulls(bus: Bus) -> AsyncIterator[list[Pull]]:
    """Two followers of a stream of ten messages: one acknowledged seven, the other four."""
    await streams.ensure_points(bus, Settings(stream_bytes=64 << 20))
    for _ in range(10):
        await bus.js.publish("points.0", b"x" * 1000)
    pulls = [Pull(bus, "POINTS_0", name) for name in ("mill-fast", "mill-slow")]
    for pull, done in zip(pulls, (7, 4), strict=True):
        await pull.open(0)
        messages = await pull.take(5)
        while len(messages) < 10:
            messages += await pull.take(5)
        await pull.ack(messages[done - 1])
    await eventually(lambda: acknowledged(bus, 4))
    yield pulls
    for pull in pulls:
        await pull.close()
    await bus.js.delete_stream("POINTS_0")


async def acknowledged(bus: Bus, lowest: int) -> bool:
    return min(each.ack_floor.stream_seq for each in await bus.js.consumers_info("POINTS_0")) == lowest


async def first(bus: Bus) -> int:
    return (await bus.js.stream_info("POINTS_0")).state.first_seq


async def test_nothing_goes_that_the_slowest_follower_has_not_stored(bus: Bus, pulls: list[Pull]):
    assert await purge_processed(bus, "POINTS_0", ["mill-slow"], now=LATER) == 4
    assert await first(bus) == 5
    assert await purge_processed(bus, "POINTS_0", ["mill-slow"], now=LATER) == 0


async def test_nothing_goes_before_every_required_follower_is_there(bus: Bus, pulls: list[Pull]):
    assert await purge_processed(bus, "POINTS_0", ["mill-slow", "mill-absent"], now=LATER) == 0


async def test_a_day_is_kept_while_there_is_room(bus: Bus, pulls: list[Pull]):
    assert await purge_processed(bus, "POINTS_0", []) == 0
    config = (await bus.js.stream_info("POINTS_0")).config
    await bus.js.update_stream(config, max_bytes=15_000)
    assert await purge_processed(bus, "POINTS_0", []) == 4


async def test_what_is_older_than_a_day_goes_and_the_younger_stays(bus: Bus, pulls: list[Pull]):
    second = await bus.js.get_msg("POINTS_0", 2)
    assert await purge_processed(bus, "POINTS_0", [], now=second.time + timedelta(hours=24)) == 2
    assert await first(bus) == 3
