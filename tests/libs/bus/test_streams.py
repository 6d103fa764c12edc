"""Streams in a server that has little room."""

from collections.abc import AsyncIterator, Iterator

import pytest

from libs.bus import streams
from libs.bus.connect import Bus
from libs.runtime import children
from libs.runtime.settings import Settings
from tests.servers import TESTS_PASSWORD, Running, start

ROOM = 200 << 20


@pytest.fixture
def small_nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("small")
    child = children.nats(folder, children.free_port(), children.free_port(), TESTS_PASSWORD, store_bytes=ROOM)
    running = start(child, folder / "nats.log")
    yield running
    running.kill()


@pytest.fixture
async def small(small_nats: Running) -> AsyncIterator[Bus]:
    bus = Bus.start(small_nats.url, "test")
    await bus.wait(5)
    yield bus
    await bus.close()


async def size(bus: Bus) -> int | None:
    return (await bus.js.stream_info("POINTS_0")).config.max_bytes


async def test_a_stream_that_is_there_keeps_its_size_where_a_second_one_would_find_no_room(small: Bus) -> None:
    wanted = Settings(stream_bytes=128 << 20)
    for _ in range(3):
        await streams.ensure_points(small, wanted)
        assert await size(small) == wanted.stream_bytes


async def test_a_stream_grows_and_shrinks_with_its_setting_as_far_as_there_is_room(small: Bus) -> None:
    for wanted, given in ((64, 64), (128, 128), (400, 200), (96, 96)):
        await streams.ensure_points(small, Settings(stream_bytes=wanted << 20))
        assert await size(small) == given << 20
