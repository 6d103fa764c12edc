"""Ingest without HTTP: a database of its own, real streams, the writer following, frames as a process sends them."""

import asyncio
from array import array
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from libs.bus.data import DataFollower
from libs.bus.publish import FramePublisher
from libs.bus.streams import ensure_parked, ensure_points
from libs.contracts.ingest import Frame, Kind, Source, encode_frame, partition_of, points_stream, points_subject
from libs.eventstore.database import Database
from libs.eventstore.migrate import migrate
from libs.eventstore.store import EventStore
from libs.runtime.process import Process, open_process
from libs.runtime.settings import Settings
from services.ingest.application import Application
from services.ingest.projections import projection
from services.ingest.schema import schema
from services.ingest.writer import Writer
from tests.eventually import eventually
from tests.libs.databases import fresh_database
from tests.servers import Servers

NOON = 1_790_000_000_000_000
Points = Sequence[tuple[int, float]]


@dataclass
class Stage:
    """What tests of the slow half of ingest play on."""

    process: Process
    store: EventStore
    application: Application
    publisher: FramePublisher
    epoch: UUID
    seq: int = 0

    @property
    def settings(self) -> Settings:
        return self.process.settings

    async def send(
        self, source: Source, points: Points, *, received: int | None = None, items: Sequence[bytes] = ()
    ) -> bytes:
        """Publish points (Unix microseconds, value) of one source as a frame; returns the frame."""
        self.seq += 1
        frame = Frame(
            1, self.epoch, self.seq, received or int(self.process.clock.now() * 1e6), False, [source],
            array("H", [0] * len(points)).tobytes(), array("q", [t for t, _ in points]).tobytes(),
            array("d", [value for _, value in points]).tobytes(), list(items),
        )  # fmt: skip
        body = encode_frame(frame)
        partition = partition_of(source.account, self.settings.partitions)
        await self.publisher.publish(points_subject(partition), f"{self.epoch}:{self.seq}", body)
        return body

    async def written(self) -> None:
        """Return once everything sent is stored."""
        for partition in range(self.settings.partitions):
            last = (await self.process.bus.js.stream_info(points_stream(partition))).state.last_seq

            async def caught_up(partition: int = partition, last: int = last) -> bool:
                rows = await self.rows(
                    "select position from ingest.positions where partition = %s and follower = 'writer'", partition
                )
                return bool(rows) and rows[0][0] >= last

            await eventually(caught_up)

    async def rows(self, query: str, *given: Any) -> list[Any]:
        async with self.process.database.house() as cursor:
            await cursor.execute(query.encode(), given)
            return await cursor.fetchall()

    async def totals(self, account: UUID) -> dict[str, tuple[int, float]]:
        """Name -> (points, sum) of the stats of an account, by its hours."""
        found = await self.rows(
            "select s.name, sum(h.n)::bigint, sum(h.sum) from ingest.stats s join ingest.hours h on h.stat = s.id"
            " where s.account = %s group by s.name", account,
        )  # fmt: skip
        return {name: (n, total) for name, n, total in found}


def source(name: str, account: UUID | None = None, stat: UUID | None = None, kind: Kind = "counter") -> Source:
    return Source(account or uuid4(), "live", stat, name, kind, None)


@asynccontextmanager
async def stage(servers: Servers, folder: Path, **settings: Any) -> AsyncIterator[Stage]:
    """A stage whose writer runs until the end. The streams begin empty."""
    with fresh_database(servers.database_url) as dsn:
        migrate(dsn, [("ingest", schema())])
        given = Settings(
            database_url=dsn, nats_url=servers.nats_url, redis_url=servers.redis_url, data=folder,
            secret="secret of a test", stream_bytes=64 << 20,
        )  # fmt: skip
        async with open_process(replace(given, **settings), "work", "stage") as process:
            await process.bus.wait(5)
            await ensure_points(process.bus, process.settings)
            await ensure_parked(process.bus)
            partitions = process.settings.partitions
            store = EventStore("ingest", dsn, projection(partitions), role="ezstat_worker")
            writing = [asyncio.create_task(_writer(process, store, partition)) for partition in range(partitions)]
            publisher = FramePublisher(process.bus)
            application = Application(store, process.database, process.bus, partitions)
            try:
                yield Stage(process, store, application, publisher, uuid4())
            finally:
                for task in writing:
                    task.cancel()
                await asyncio.gather(*writing, return_exceptions=True)
                await publisher.close()
                await store.close()
                for partition in range(partitions):
                    await process.bus.js.delete_stream(points_stream(partition))


async def _writer(process: Process, store: EventStore, partition: int) -> None:
    writer = Writer(partition, store.commit)
    database: Database = process.database
    await DataFollower(process.bus, database, "ingest", "writer", partition, writer.apply, spacing=0.005).run()
