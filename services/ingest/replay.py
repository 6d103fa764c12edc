"""Rebuilding the read models from the truth: events of stats, then all archived frames.

The archive holds only points that counted (`Writer`), so nobody has to know here which item ids were seen when.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg import Connection, Cursor
from psycopg.rows import TupleRow

from libs.bus.data import Received
from libs.contracts.ingest import decode_frame
from libs.eventstore.database import unavailable
from libs.eventstore.store import EventStore
from libs.runtime.process import Process
from libs.series import columns
from services.ingest.domain import Stat
from services.ingest.projections import projection
from services.ingest.writer import Declined, Writer
from services.ingest.writer_lock import wait_for_writer

log = logging.getLogger("ezstat.ingest.replay")

BYTES_AT_ONCE = 8 << 20
FRAMES_AT_ONCE = 1_000
_SLICE = timedelta(hours=6)


@dataclass
class Replayed:
    """What a replay built. `orphans` are names that points have and no event knows."""

    stats: int = 0
    deleted: int = 0
    frames: int = 0
    points: int = 0
    orphans: int = 0

    def __str__(self) -> str:
        text = f"rebuilt {self.stats} stats from events and {self.points} points from {self.frames} archived frames"
        text += f"; {self.deleted} stats were deleted" if self.deleted else ""
        return text + (f"; points of {self.orphans} unknown stats left out" if self.orphans else "")


async def command(process: Process, arguments: Sequence[str]) -> str:
    """`ezstat replay ingest`."""
    if arguments:
        raise SystemExit("ezstat replay ingest takes no arguments")
    return str(await replay(process))


async def replay(process: Process) -> Replayed:
    """Empty the read models and build them again, in one transaction: readers see the old ones or the new ones.

    Writers of points wait; sending goes on, since the streams hold what comes. Raises `DatabaseUnavailable`.
    """
    settings = process.settings
    store = EventStore("ingest", settings.database_url, projection(settings.partitions), role="ezstat_worker")
    try:
        return await asyncio.to_thread(_replay, process.database.connect(), store, settings.partitions)
    except psycopg.OperationalError as error:
        raise unavailable(error) from error
    finally:
        await store.close()


def _replay(connection: Connection[TupleRow], store: EventStore, partitions: int) -> Replayed:
    done = Replayed()
    with connection, connection.cursor() as cursor:
        # One statement here reads or folds a lot; a person waits for it.
        cursor.execute("set local statement_timeout = 0; set local lock_timeout = '60s'")
        for partition in range(partitions):
            wait_for_writer(cursor, partition)
        # In the order in which commits write them, so that nobody waits for us while we wait for them.
        cursor.execute("truncate ingest.stats, ingest.tombstones, ingest.minutes, ingest.hours, ingest.points")
        store.rebuild(cursor)
        columns.register(cursor)
        for partition in range(partitions):
            _replay_partition(connection, cursor, partition, done)
        done.stats, done.deleted = _counts(cursor)
    return done


def _counts(cursor: Cursor[TupleRow]) -> tuple[int, int]:
    row = cursor.execute(
        "select (select count(*) from ingest.stats), (select count(*) from ingest.tombstones)"
    ).fetchone()
    assert row is not None
    return row[0], row[1]


def _replay_partition(
    connection: Connection[TupleRow], cursor: Cursor[TupleRow], partition: int, done: Replayed
) -> None:
    def decline(stat: Stat) -> None:
        done.orphans += 1
        log.warning("points of a stat that no event knows are left out")
        raise Declined

    writer = Writer(partition, decline)
    for batch in _batches(connection, partition):
        writer.fold(cursor, batch)
        done.points += sum(len(received.frame.values) // 8 for received in batch)
        done.frames += len(batch)


def _batches(connection: Connection[TupleRow], partition: int) -> Iterator[list[Received]]:
    batch: list[Received] = []
    size = 0
    for received in _frames(connection, partition):
        batch.append(received)
        size += len(received.body)
        if size >= BYTES_AT_ONCE or len(batch) >= FRAMES_AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _frames(connection: Connection[TupleRow], partition: int) -> Iterator[Received]:
    """Archived frames in the order in which they were received: slice by slice, so that no sort is large."""
    for start, end in _slices(connection, partition):
        with connection.cursor(name="frames") as frames:
            frames.itersize = 100
            frames.execute(
                "select body, stream_seq from ingest.frames"
                " where partition = %s and received_at >= %s and received_at < %s order by received_at, epoch, seq",
                (partition, start, end),
                binary=True,
            )
            for body, sequence in frames:
                yield Received(decode_frame(body), body, sequence)


def _slices(connection: Connection[TupleRow], partition: int) -> Iterator[tuple[datetime, datetime]]:
    row: Any = connection.execute(
        "select min(received_at), max(received_at) from ingest.frames where partition = %s", (partition,)
    ).fetchone()
    start, last = row
    while start is not None and start <= last:
        yield start, start + _SLICE
        start += _SLICE
