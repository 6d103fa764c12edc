import asyncio
from collections.abc import AsyncIterator

import pytest

from libs.bus import streams
from libs.bus.connect import Bus
from libs.bus.errors import BusUnavailable, StreamRefused
from libs.bus.publish import FramePublisher
from libs.runtime.settings import Settings
from tests.eventually import eventually
from tests.servers import Servers


@pytest.fixture
async def publisher(bus: Bus) -> AsyncIterator[FramePublisher]:
    await streams.ensure_points(bus, Settings(stream_bytes=64 << 20))
    publisher = FramePublisher(bus)
    yield publisher
    await publisher.close()
    await bus.js.delete_stream("POINTS_0")


async def test_every_frame_is_acknowledged_with_its_sequence(bus: Bus, publisher: FramePublisher):
    sequences = await asyncio.gather(*(publisher.publish("points.0", f"a:{n}", b"x" * n) for n in range(500)))
    assert sequences == list(range(1, 501))
    assert (await bus.js.get_msg("POINTS_0", 500)).data == b"x" * 499


async def test_a_repeated_message_id_is_not_stored_again(publisher: FramePublisher):
    assert await publisher.publish("points.0", "same", b"1") == await publisher.publish("points.0", "same", b"1")


async def test_what_the_stream_does_not_take_is_refused(bus: Bus, publisher: FramePublisher):
    with pytest.raises(StreamRefused):
        await publisher.publish("points.0", "huge", b"x" * (600 << 10))
    with pytest.raises(StreamRefused):
        await publisher.publish("points.0", "too huge for the server", b"x" * (2 << 20))
    with pytest.raises(BusUnavailable):
        await publisher.publish("nowhere.0", "lost", b"x")


async def test_a_full_stream_refuses_instead_of_forgetting(bus: Bus, publisher: FramePublisher):
    config = (await bus.js.stream_info("POINTS_0")).config
    await bus.js.update_stream(config, max_bytes=100_000)
    first = await publisher.publish("points.0", "first", b"x" * 60_000)
    with pytest.raises(StreamRefused):
        await publisher.publish("points.0", "second", b"x" * 60_000)
    assert (await bus.js.stream_info("POINTS_0")).state.first_seq == first


async def test_disconnected_means_refused_at_once_and_what_flew_fails_when_the_line_breaks(own_servers: Servers):
    bus = Bus.start(own_servers.nats_url, "publisher")
    await bus.wait(5)
    await streams.ensure_points(bus, Settings(stream_bytes=64 << 20))
    publisher = FramePublisher(bus)
    assert await publisher.publish("points.0", "f:1", b"x") == 1
    own_servers.nats.freeze()
    flying = [publisher.publish("points.0", f"f:{n}", b"x") for n in range(2, 5)]
    own_servers.nats.kill()
    results = await asyncio.wait_for(asyncio.gather(*flying, return_exceptions=True), 5)
    assert [type(result) for result in results] == [BusUnavailable] * 3
    await eventually(lambda: not bus.connected)
    refused = publisher.publish("points.0", "f:5", b"x")
    assert isinstance(refused.exception(), BusUnavailable)
    await asyncio.to_thread(own_servers.nats.start)
    await bus.wait(5)
    assert await publisher.publish("points.0", "f:6", b"x") > 1
    await publisher.close()
    await bus.close()


async def test_silence_fails_a_publish_after_two_seconds(own_servers: Servers):
    bus = Bus.start(own_servers.nats_url, "publisher")
    await bus.wait(5)
    await streams.ensure_points(bus, Settings(stream_bytes=64 << 20))
    publisher = FramePublisher(bus)
    await publisher.publish("points.0", "g:1", b"x")
    own_servers.nats.freeze()
    try:
        with pytest.raises(BusUnavailable):
            await asyncio.wait_for(publisher.publish("points.0", "g:2", b"x"), 4)
    finally:
        own_servers.nats.thaw()
    await bus.wait(5)
    await publisher.close()
    await bus.close()


async def test_streams_come_back_when_the_server_lost_its_disk(bus: Bus):
    keeping = streams.keep(bus, lambda: streams.ensure_parked(bus))
    await eventually(lambda: exists(bus, "PARKED"))
    await bus.js.delete_stream("PARKED")
    for callback in bus._back:
        callback()
    await eventually(lambda: exists(bus, "PARKED"))
    keeping.cancel()


async def exists(bus: Bus, name: str) -> bool:
    return name in {stream.config.name for stream in await bus.js.streams_info()}


async def test_every_kind_of_stream_is_as_reliability_wants_it_and_may_be_ensured_again(bus: Bus):
    settings = Settings(partitions=2, stream_bytes=1 << 50)  # more than any disk: as large as there is room
    for _ in range(2):
        await streams.ensure_points(bus, settings)
        await streams.ensure_events(bus, "shop")
        await streams.ensure_advisories(bus)
    points = (await bus.js.stream_info("POINTS_1")).config
    assert (points.discard, points.max_age, points.retention) == ("new", 0, "limits")
    assert points.max_bytes > 0
    events = (await bus.js.stream_info("EVENTS_SHOP")).config
    assert (events.max_age, events.deny_delete, events.allow_atomic) == (72 * 3600, True, True)
    for name in ("POINTS_0", "POINTS_1", "EVENTS_SHOP", "ADVISORIES"):
        await bus.js.delete_stream(name)
