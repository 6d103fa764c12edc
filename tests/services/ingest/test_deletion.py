"""Deletion is real: rows at once, archive and stream with the scrub, and nothing comes back."""

import asyncio
from array import array
from collections.abc import AsyncIterator
from contextlib import suppress
from uuid import UUID, uuid4

import pytest
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import NotFoundError

from libs.contracts.accounts import AccountClosed
from libs.contracts.ingest import Frame, decode_frame, encode_frame, points_stream, points_subject
from services.ingest.closures import Closures
from services.ingest.deletion import TABLES, Deletion
from services.ingest.imports.folder import Folder
from services.ingest.reactions import note_closure
from services.ingest.retention import Retention
from services.ingest.scrub import Scrub
from tests.eventually import eventually
from tests.services.ingest.stage import NOON, Stage, source

SECRET = "a name that must vanish"


@pytest.fixture
async def deleting(stage: Stage) -> AsyncIterator[Stage]:
    task = asyncio.create_task(Deletion(stage.process.database).run())
    yield stage
    task.cancel()


def scrub_of(stage: Stage) -> Scrub:
    partitions = stage.settings.partitions
    return Scrub(stage.process.database, Retention(stage.process.bus, partitions), partitions)


async def scrubbed(stage: Stage) -> None:
    """Scrub until nothing waits for a consumer's acknowledgement any more."""

    async def nothing_waits() -> bool:
        return (await scrub_of(stage).once()).waiting == 0

    await eventually(nothing_waits)


async def rows_of(stage: Stage, stat: UUID) -> int:
    counted = [await stage.rows(f"select count(*) from ingest.{table} where stat = %s", stat) for table in TABLES]
    return sum(int(rows[0][0]) for rows in counted)


async def archived(stage: Stage) -> bytes:
    return b"".join(bytes(row[0]) for row in await stage.rows("select body from ingest.frames order by epoch, seq"))


async def streamed(stage: Stage) -> bytes:
    js = stage.process.bus.js
    state = (await js.stream_info(points_stream(0))).state
    bodies = []
    for seq in range(state.first_seq, state.last_seq + 1):
        with suppress(NotFoundError):  # purged since we asked what there is
            bodies.append((await js.get_msg(points_stream(0), seq)).data or b"")
    return b"".join(bodies)


async def test_the_bytes_of_a_deleted_stat_are_gone_from_tables_archive_and_stream(deleting: Stage) -> None:
    account = uuid4()
    stat = await deleting.application.create(account, "live", SECRET, "counter", "test")
    neighbour = source("neighbour", account)
    await deleting.send(source(SECRET, account, stat.id), [(NOON, 1234567.0), (NOON + 1, 2.0)])
    await deleting.send(source(SECRET, account), [(NOON, 3.0)])
    await deleting.send(neighbour, [(NOON, 5.0)])
    await deleting.written()
    assert await rows_of(deleting, stat.id) > 0
    assert SECRET.encode() in await archived(deleting)
    assert SECRET.encode() in await streamed(deleting)

    await deleting.application.delete(account, "live", SECRET, "test")

    async def no_rows() -> bool:
        return await rows_of(deleting, stat.id) == 0

    await eventually(no_rows, within=3)
    await scrubbed(deleting)
    for place in (await archived(deleting), await streamed(deleting)):
        assert SECRET.encode() not in place
        assert stat.id.bytes not in place
    assert await deleting.totals(account) == {"neighbour": (1, 5.0)}
    ((scrubbed_at, rows_gone),) = await deleting.rows("select scrubbed_at, rows_gone from ingest.tombstones")
    assert scrubbed_at is not None
    assert rows_gone


async def test_frames_shared_with_other_stats_keep_their_points(deleting: Stage) -> None:
    account = uuid4()
    gone, kept = source("gone", account), source("kept", account, kind="gauge")
    frame = Frame(
        1, deleting.epoch, 1, int(deleting.process.clock.now() * 1e6), False, [gone, kept, source("last", account)],
        array("H", [0, 1, 0, 2, 1]).tobytes(), array("q", [NOON + i for i in range(5)]).tobytes(),
        array("d", [1, 2, 3, 4, 5]).tobytes(), [],
    )  # fmt: skip
    await deleting.publisher.publish(points_subject(0), "shared", encode_frame(frame))
    await deleting.written()
    await deleting.application.delete(account, "live", "gone", "test")
    await scrubbed(deleting)
    left = decode_frame(await archived(deleting))
    assert [one.name for one in left.sources] == ["kept", "last"]
    assert array("H", left.index).tolist() == [0, 1, 0]
    assert array("d", left.values).tolist() == [2, 4, 5]
    assert array("q", left.times).tolist() == [NOON + 1, NOON + 3, NOON + 4]


async def test_late_frames_of_a_deleted_stat_are_neither_counted_nor_archived(deleting: Stage) -> None:
    """Fault test 37: no resurrection; points received after the delete make a new stat."""
    account = uuid4()
    stat = await deleting.application.create(account, "live", SECRET, "counter", "test")
    before = int(deleting.process.clock.now() * 1e6)
    await deleting.application.delete(account, "live", SECRET, "test")
    await scrubbed(deleting)
    await deleting.send(source(SECRET, account, stat.id), [(NOON, 1.0)], received=before)
    await deleting.send(source(SECRET, account), [(NOON, 1.0)], received=before)
    await deleting.written()
    assert await deleting.rows("select name from ingest.stats where account = %s", account) == []
    assert SECRET.encode() not in await archived(deleting)

    await deleting.send(source(SECRET, account, stat.id), [(NOON, 7.0)])
    await deleting.written()
    ((new,),) = await deleting.rows("select id from ingest.stats where account = %s", account)
    assert new != stat.id
    assert await deleting.totals(account) == {SECRET: (1, 7.0)}


async def test_deleting_while_points_arrive_leaves_only_what_came_after(deleting: Stage) -> None:
    """Fault test 37, in flight: points sent before, during and after a delete, then a scrub."""
    account = uuid4()
    stat = await deleting.application.create(account, "live", SECRET, "counter", "test")
    one = source(SECRET, account, stat.id)

    async def sending() -> None:
        for i in range(100):
            await deleting.send(one, [(NOON + i, 1.0)])

    task = asyncio.create_task(sending())
    await eventually(lambda: deleting.seq > 30)
    await deleting.application.delete(account, "live", SECRET, "test")
    ((deleted_at,),) = await deleting.rows("select deleted_at from ingest.tombstones")
    await task
    await deleting.written()
    await eventually(lambda: _gone(deleting, stat.id), within=3)
    totals = await deleting.totals(account)
    counted = totals.get(SECRET, (0, 0.0))[0]
    assert counted < 70
    await scrubbed(deleting)
    frames = await deleting.rows("select received_at > %s, body from ingest.frames", deleted_at)
    left = [(after, len(decode_frame(body).values) // 8) for after, body in frames]
    assert sum(points for after, points in left if after) == counted
    assert sum(points for after, points in left if not after) == 0


async def _gone(stage: Stage, stat: UUID) -> bool:
    return await rows_of(stage, stat) == 0


async def test_a_scrub_comes_by_itself_once_a_deletion_is_old_enough(deleting: Stage) -> None:
    account = uuid4()
    await deleting.send(source(SECRET, account), [(NOON, 1.0)])
    await deleting.written()
    await deleting.application.delete(account, "live", SECRET, "test")
    task = asyncio.create_task(scrub_of(deleting).run(every=0.2))

    async def gone() -> bool:
        return SECRET.encode() not in await archived(deleting) and SECRET.encode() not in await streamed(deleting)

    await eventually(gone)
    task.cancel()


async def test_messages_parked_for_a_person_are_scrubbed_too(deleting: Stage) -> None:
    account = uuid4()
    body = await deleting.send(source(SECRET, account), [(NOON, 1.0)])
    await deleting.written()
    for content in (body, SECRET.encode()):  # a frame, and something that nobody can read
        await deleting.rows(
            "insert into ingest.parked (partition, follower, stream, sequence, subject, headers, body, reason)"
            " values (0, 'writer', 'POINTS_0', 1, 'points.0', '{}', %s, 'test') returning id", content,
        )  # fmt: skip
    await deleting.application.delete(account, "live", SECRET, "test")
    await scrubbed(deleting)
    assert await deleting.rows("select body from ingest.parked") == [(SECRET.encode(),)]


async def test_a_closed_account_loses_its_stats_and_imports(deleting: Stage) -> None:
    account, other = uuid4(), uuid4()
    for owner in (account, other):
        await deleting.send(source("x", owner), [(NOON, 1.0)])
    await deleting.written()
    with deleting.process.database.connect() as connection, connection.cursor() as cursor:
        for _ in range(2):
            note_closure(cursor, AccountClosed(account=account, at=deleting.process.clock.now()))
    folder = Folder(deleting.settings.data)
    closures = Closures(deleting.process.database, deleting.application, folder)
    await closures.once()
    await deleting.send(source("late", account), [(NOON, 1.0)])
    await deleting.written()
    await closures.once()
    assert await deleting.totals(account) == {}
    assert await deleting.totals(other) == {"x": (1, 1.0)}
    assert await deleting.rows("select name from ingest.tombstones order by name") == [("late",), ("x",)]


async def test_a_slow_consumer_keeps_a_scrub_open_until_it_has_caught_up(deleting: Stage) -> None:
    js = deleting.process.bus.js
    await js.add_consumer(points_stream(0), ConsumerConfig(durable_name="slow", ack_policy=AckPolicy.ALL))
    account = uuid4()
    await deleting.send(source(SECRET, account), [(NOON, 1.0)])
    await deleting.written()
    await deleting.application.delete(account, "live", SECRET, "test")
    assert (await scrub_of(deleting).once()).waiting == 1
    assert SECRET.encode() in await streamed(deleting)
    await js.delete_consumer(points_stream(0), "slow")
    await scrubbed(deleting)
    assert SECRET.encode() not in await streamed(deleting)
