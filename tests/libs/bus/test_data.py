import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress

import psycopg
import pytest
from nats.js.errors import NotFoundError
from psycopg import Cursor
from psycopg.rows import TupleRow

from libs.bus import streams
from libs.bus.connect import Bus
from libs.bus.data import DataFollower, Received
from libs.bus.parking import ask_replay, list_parked
from libs.bus.position import begin_after
from libs.bus.verdict import Poison
from libs.eventstore.database import Database, connect
from libs.eventstore.migrate import migrate
from libs.runtime.settings import Settings
from tests.eventually import eventually
from tests.libs.bus.mill import SCHEMA, Producer, grind
from tests.libs.databases import empty, fresh_database
from tests.servers import Servers

POINTS = Settings(stream_bytes=64 << 20)


@pytest.fixture(scope="module")
def database_of_the_mill(servers: Servers) -> Iterator[str]:
    with fresh_database(servers.database_url) as dsn:
        migrate(dsn, [("mill", SCHEMA)])
        yield dsn


@pytest.fixture
def dsn(database_of_the_mill: str) -> str:
    empty(database_of_the_mill, "mill")
    return database_of_the_mill


@pytest.fixture
async def stream(bus: Bus) -> AsyncIterator[Callable[..., Awaitable[int]]]:
    """Send a frame; each call is a new message to NATS unless it gets an id."""
    with suppress(NotFoundError):  # what tests elsewhere left in the servers that all share
        await bus.js.delete_stream("POINTS_0")
    await streams.ensure_points(bus, POINTS)

    async def send(body: bytes, message_id: str | None = None) -> int:
        ack = await bus.js.publish("points.0", body, headers={"Nats-Msg-Id": message_id} if message_id else None)
        return ack.seq

    yield send
    await bus.js.delete_stream("POINTS_0")


def follower(bus: Bus, dsn: str, apply=grind, spacing: float = 0.0) -> DataFollower:
    return DataFollower(bus, Database(dsn, "ezstat_worker"), "mill", "miller", 0, apply, spacing)


@asynccontextmanager
async def running(*followers: DataFollower) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(each.run()) for each in followers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def total(dsn: str) -> float:
    with connect(dsn) as connection:
        return connection.execute("select coalesce(sum(total), 0) from mill.sacks").fetchone()[0]


async def test_frames_arrive_once_and_in_order(bus: Bus, dsn: str, stream):
    seen: list[int] = []

    def note(cursor: Cursor[TupleRow], received: Sequence[Received]) -> None:
        seen.extend(each.sequence for each in received)

    producer = Producer()
    for n in range(50):
        await stream(producer.frame(n))
    it = follower(bus, dsn, note)
    async with running(it):
        await eventually(lambda: it.position == 50)
        await stream(producer.frame(1))
        await eventually(lambda: it.position == 51 and it.lag() == 0 and it.trouble == "")
    assert seen == list(range(1, 52))


async def test_a_long_backlog_is_worked_off_in_batches(bus: Bus, dsn: str, stream):
    batches: list[int] = []

    def note(cursor: Cursor[TupleRow], received: Sequence[Received]) -> None:
        batches.append(len(received))
        grind(cursor, received)

    producer = Producer()
    for _ in range(12):
        await asyncio.gather(*(stream(producer.frame(1)) for _ in range(100)))
    for _ in range(40):
        await stream(producer.frame(*[1.0] * 20_000))  # 14 MB: more than a request asks for
    it = follower(bus, dsn, note)
    async with running(it):
        await eventually(lambda: it.position == 1240, within=20)
    assert total(dsn) == 1200 + 800_000
    assert max(batches) <= 1000


async def test_copies_with_new_message_ids_in_any_order_change_nothing(bus: Bus, dsn: str, stream):
    producers = [Producer(), Producer()]
    frames = [producer.frame(4.0**n) for n in range(10) for producer in producers]
    it = follower(bus, dsn)
    async with running(it):
        for frame in frames[:10]:
            await stream(frame)
        await eventually(lambda: it.position == 10)
        mixed = frames * 3
        random.Random(1).shuffle(mixed)
        for frame in mixed:
            await stream(frame)
        await eventually(lambda: it.position == 70)
    assert total(dsn) == 2 * sum(4.0**n for n in range(10))
    with connect(dsn) as connection:
        assert connection.execute("select seen::text from mill.producers").fetchall() == [("{[1,11)}",)] * 2


async def test_a_ghost_that_comes_late_fills_its_gap_and_counts_once(bus: Bus, dsn: str, stream):
    producer = Producer()
    first, ghost, third = producer.frame(1), producer.frame(10), producer.frame(100)
    async with running(follower(bus, dsn)):
        for frame in (first, third):
            await stream(frame)
        await eventually(lambda: total(dsn) == 101)
    it = follower(bus, dsn)  # knows its gaps from the table only
    async with running(it):
        for frame in (ghost, ghost, third, first):
            await stream(frame)
        await eventually(lambda: it.position == 6)
    assert total(dsn) == 111


@pytest.mark.parametrize("moment", ["before commit", "between commit and ack"])
async def test_a_crash_at_the_worst_moment_loses_and_doubles_nothing(
    bus: Bus, dsn: str, stream, moment: str, monkeypatch
):
    crashes = 0

    def crash_sometimes(cursor: Cursor[TupleRow], received: Sequence[Received]) -> None:
        nonlocal crashes
        grind(cursor, received)
        if moment == "before commit" and crashes < 3:
            crashes += 1
            raise psycopg.OperationalError("the line to Postgres broke")

    it = follower(bus, dsn, crash_sometimes)
    ack = it._following._pull.ack

    async def crash_at_ack(message) -> None:
        nonlocal crashes
        if moment != "before commit" and crashes < 3:
            crashes += 1
            raise OSError("gone")
        await ack(message)

    monkeypatch.setattr(it._following._pull, "ack", crash_at_ack)
    producer = Producer()
    async with running(it):
        for n in range(12):
            await stream(producer.frame(4.0**n))
            await asyncio.sleep(0)
        await eventually(lambda: it.position == 12 and it.trouble == "", within=10)
        assert crashes >= 1
    assert total(dsn) == sum(4.0**n for n in range(12))


async def test_two_followers_of_one_name_take_turns_and_the_second_takes_over(bus: Bus, dsn: str, stream):
    producer = Producer()
    first, second = follower(bus, dsn), follower(bus, dsn)
    async with running(second):
        async with running(first):
            for n in range(20):
                await stream(producer.frame(4.0**n))
            await eventually(lambda: total(dsn) == sum(4.0**n for n in range(20)))
            assert sorted([first.trouble, second.trouble])[0] == ""
        for n in range(20, 25):
            await stream(producer.frame(4.0**n))
        await eventually(lambda: total(dsn) == sum(4.0**n for n in range(25)))


async def test_a_rival_that_ignores_the_lock_is_stopped_by_the_position(bus: Bus, dsn: str, stream, monkeypatch):
    """Behind a pooler the advisory lock may not hold: the position alone must be enough."""
    monkeypatch.setattr("libs.bus.position.Positions._LOCK", "select %s::text is not null")
    producer = Producer()
    async with running(follower(bus, dsn), follower(bus, dsn)):
        for n in range(25):
            await stream(producer.frame(4.0**n))
        await eventually(lambda: total(dsn) == sum(4.0**n for n in range(25)), within=20)


async def test_an_unreadable_frame_is_parked_at_once_and_its_neighbours_count(bus: Bus, dsn: str, stream):
    with suppress(NotFoundError):
        await bus.js.delete_stream("PARKED")
    producer = Producer()
    it = follower(bus, dsn)
    async with running(it):
        await stream(producer.frame(1))
        bad = await stream(b"\xc1 not a frame")
        short = await stream(producer.frame(2)[:-3])
        await stream(producer.frame(4))
        await eventually(lambda: it.position == 4)
        await eventually(lambda: copies(bus, "PARKED", 2))
        with connect(dsn) as connection:
            assert ask_replay(connection.cursor(), "mill", [list_parked(connection.cursor(), "mill")[0].id]) == 1
        it._following._tidied = 0.0
        await stream(producer.frame(10))
        await eventually(lambda: not asked_again(dsn))
        assert it.trouble == ""
    assert total(dsn) == 15
    with connect(dsn) as connection:
        parked = list_parked(connection.cursor(), "mill")
        assert [(p.follower, p.sequence, p.subject) for p in parked] == [
            ("miller", short, "points.0"),
            ("miller", bad, "points.0"),
        ]
        assert all(p.reason for p in parked)
    await bus.js.delete_stream("PARKED")


def asked_again(dsn: str) -> bool:
    with connect(dsn) as connection:
        return connection.execute("select from mill.parked where replay_asked").fetchone() is not None


async def copies(bus: Bus, stream: str, count: int) -> bool:
    with suppress(NotFoundError):
        return (await bus.js.stream_info(stream)).state.messages == count
    return False


async def test_a_frame_that_apply_refuses_is_parked_after_three_tries_and_replayed_when_asked(
    bus: Bus, dsn: str, stream
):
    tries = 0
    mended = False

    def refuse_seven(cursor: Cursor[TupleRow], received: Sequence[Received]) -> None:
        nonlocal tries
        if any(each.frame.values == Producer().frame(7) or b"\x1c@" in each.frame.values for each in received):
            tries += len(received) == 1
            if not mended:
                raise Poison("seven")
        grind(cursor, received)

    producer = Producer()
    it = follower(bus, dsn, refuse_seven)
    frames = [producer.frame(1), producer.frame(7), producer.frame(100)]
    for frame in frames:
        await stream(frame)
    async with running(it):
        await eventually(lambda: it.position == 3)
        assert (tries, total(dsn)) == (3, 101)
        mended = True
        with connect(dsn) as connection:
            assert "seven" in list_parked(connection.cursor(), "mill")[0].reason
            assert ask_replay(connection.cursor(), "mill") == 1
        it._following._tidied = 0.0
        await stream(producer.frame(1000))
        await eventually(lambda: total(dsn) == 1108)
        await stream(frames[1])  # the parked one comes again by itself: it was counted
        await eventually(lambda: it.position == 5)
    assert total(dsn) == 1108
    with connect(dsn) as connection:
        assert list_parked(connection.cursor(), "mill") == []


async def test_a_bug_stops_the_follower_loudly_and_the_position_stays(bus: Bus, dsn: str, stream, caplog):
    def buggy(cursor: Cursor[TupleRow], received: Sequence[Received]) -> None:
        raise TypeError("our own fault")

    await stream(Producer().frame(1))
    with pytest.raises(TypeError, match="our own fault"):
        await asyncio.wait_for(follower(bus, dsn, buggy).run(), 5)
    assert "must be looked at" in caplog.text
    async with running(it := follower(bus, dsn)):
        await eventually(lambda: it.position == 1)
    assert total(dsn) == 1


async def test_an_item_whose_id_was_seen_is_not_counted_again(bus: Bus, dsn: str, stream):
    a, b, c = (bytes([n]) * 16 for n in range(1, 4))
    producer, other = Producer(), Producer()
    it = follower(bus, dsn)
    async with running(it):
        await stream(producer.frame(1, 10, items=[a, b""]))
        await eventually(lambda: it.position == 1)
        await stream(other.frame(1, 100, 1000, items=[a, b, b""]))
        await stream(other.frame(100, 10_000, 10_000, items=[b, c, c]))
        await stream(other.frame(100_000))
        await eventually(lambda: it.position == 4)
    assert total(dsn) == 111_111


async def test_items_are_forgotten_when_they_are_too_old(bus: Bus, dsn: str, stream):
    item = b"i" * 16
    it = follower(bus, dsn)
    async with running(it):
        await stream(Producer().frame(1, items=[item]))
        await eventually(lambda: it.position == 1)
        with connect(dsn) as connection:
            connection.execute("update mill.items set received = received - interval '37 hours'")
        it._following._tidied = 0.0
        await stream(Producer().frame(10))
        await eventually(lambda: items(dsn) == 0)


def items(dsn: str) -> int:
    with connect(dsn) as connection:
        return connection.execute("select count(*) from mill.items").fetchone()[0]


async def test_a_follower_can_begin_after_what_it_learned_otherwise(bus: Bus, dsn: str, stream):
    producer = Producer()
    for n in range(5):
        await stream(producer.frame(4.0**n))
    with connect(dsn) as connection:
        begin_after(connection.cursor(), "mill", "miller", 0, 3)
    async with running(follower(bus, dsn)):
        await eventually(lambda: total(dsn) == 4.0**3 + 4.0**4)


async def test_a_stream_made_anew_is_followed_from_its_start(bus: Bus, dsn: str, stream):
    producer = Producer()
    old = [producer.frame(1), producer.frame(10), producer.frame(100)]
    it = follower(bus, dsn)
    async with running(it):
        for frame in old:
            await stream(frame)
        await eventually(lambda: it.position == 3)
        await bus.js.delete_stream("POINTS_0")
        await streams.ensure_points(bus, POINTS)
        await stream(old[2])  # a spool may send again what it sent before
        await stream(producer.frame(1000))
        await eventually(lambda: total(dsn) == 1111, within=20)


async def test_a_frame_is_visible_soon_although_the_follower_paces_itself(bus: Bus, dsn: str, stream):
    it = follower(bus, dsn, spacing=0.01)
    producer = Producer()
    async with running(it):
        for n in range(20):
            await stream(producer.frame(4.0**n))
        await eventually(lambda: total(dsn) == sum(4.0**n for n in range(20)))
