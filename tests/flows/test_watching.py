"""A service that begins to watch a stat in the middle of a load ends with the same totals as ingest."""

import asyncio
import random
from array import array
from collections.abc import Iterator, Sequence
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import Cursor
from psycopg.rows import TupleRow

from libs.bus.connect import Bus
from libs.bus.data import DataFollower, Received
from libs.bus.publish import FramePublisher
from libs.bus.streams import ensure_points
from libs.contracts.ingest import SERIES, Frame, SeriesAsked, Source, encode_frame, points_subject
from libs.eventstore.database import Database
from libs.eventstore.migrate import migrate
from libs.eventstore.store import EventStore
from libs.runtime.clock import uuid7
from libs.runtime.settings import Settings
from libs.series import watching
from libs.series.watching import Watch, Watched
from services.ingest.domain import Stat
from services.ingest.history import History
from services.ingest.projections import projection
from services.ingest.schema import schema
from services.ingest.writer import Writer
from tests.eventually import eventually
from tests.libs.databases import fresh_database
from tests.servers import Servers, real_servers

ACCOUNT = uuid4()
WATCHED = 5
FRAMES = 400
NOON = 1_800_000_000_000_000


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with real_servers(tmp_path_factory.mktemp("watching")) as started:
        yield started


class Sums:
    """A service that only keeps rollups of watched stats."""

    def __init__(self) -> None:
        self.watch = Watch("sums", "sums")

    def apply(self, cursor: Cursor[TupleRow], received: Sequence[Received]) -> None:
        self.watch.fold(cursor, 0, received)


def frame(epoch: UUID, seq: int, stats: Sequence[Stat], chosen: random.Random) -> bytes:
    points = [(chosen.randrange(len(stats)), NOON + chosen.randrange(10_000_000_000), 1.0) for _ in range(20)]
    sources = [Source(ACCOUNT, "live", stat.id, stat.name, "counter", None) for stat in stats]
    return encode_frame(
        Frame(
            1, epoch, seq, NOON, False, sources, array("H", [p[0] for p in points]).tobytes(),
            array("q", [p[1] for p in points]).tobytes(), array("d", [p[2] for p in points]).tobytes(), [],
        )
    )  # fmt: skip


def sums(connection: psycopg.Connection[TupleRow], schema: str) -> dict[UUID, tuple[int, float, int]]:
    rows = connection.execute(
        f"select h.stat, sum(h.n)::bigint, sum(h.sum),"
        f" (select sum(m.n)::bigint from {schema}.minutes m where m.stat = h.stat)"
        f" from {schema}.hours h group by h.stat".encode()
    ).fetchall()
    return {row[0]: (row[1], row[2], row[3]) for row in rows}


async def test_backfill_then_follow_has_no_gap_and_no_overlap(own: Servers) -> None:
    with fresh_database(own.database_url) as dsn:
        migrate(dsn, [("ingest", schema()), ("sums", watching.ddl("sums"))])
        await _run(own, dsn)


async def _run(own: Servers, dsn: str) -> None:
    chosen = random.Random(5)
    bus = Bus.start(own.nats_url, "test")
    await bus.wait(5)
    await ensure_points(bus, Settings())
    database = Database(dsn, "ezstat_worker")
    await database.open()
    store = EventStore("ingest", dsn, projection(1), role="ezstat_worker")
    stats = [Stat(ACCOUNT, "live", f"stat {i}", "counter", "test") for i in range(WATCHED)]
    await store.save(*stats)
    await bus.answer(SERIES, SeriesAsked, History(database, 1).tell, queue="ingest")
    watcher = Sums()
    followers = [
        asyncio.create_task(DataFollower(bus, database, "ingest", "writer", 0, Writer(0, store.commit).apply).run()),
        asyncio.create_task(DataFollower(bus, database, "sums", "sums", 0, watcher.apply, spacing=0.001).run()),
    ]
    publisher, epoch = FramePublisher(bus), uuid7()

    async def load() -> None:
        for seq in range(1, FRAMES + 1):
            await publisher.publish(points_subject(0), f"{epoch}:{seq}", frame(epoch, seq, stats, chosen))

    loading = asyncio.create_task(load())
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        for stat in stats:
            await asyncio.sleep(chosen.uniform(0, 0.1))
            wanted = Watched(0, stat.id, ACCOUNT, "live", stat.name, NOON / 1e6 - 3600, NOON / 1e6 - 3600)
            await watcher.watch.begin(bus, connection, wanted)
    await loading
    with psycopg.connect(dsn, autocommit=True) as reader:

        def done() -> bool:
            for follower in followers:
                if follower.done():
                    follower.result()
            both = sums(reader, "ingest"), sums(reader, "sums")
            return both[0] == both[1] and sum(n for n, _, _ in both[0].values()) == FRAMES * 20

        await eventually(done, within=20)
    for follower in followers:
        follower.cancel()
    await asyncio.gather(*followers, return_exceptions=True)
    await publisher.close()
    await store.close()
    await database.close()
    await bus.close()
