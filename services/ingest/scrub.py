"""The scrub: points of deleted stats out of the archive and out of the streams. Until then they only don't count."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn
from uuid import UUID

import msgspec
import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

from libs.bus.errors import BusUnavailable
from libs.contracts.ingest import decode_frame, encode_frame
from libs.eventstore.database import Database, DatabaseUnavailable, unavailable
from libs.runtime.process import Process
from services.ingest.burial import Burial, Tombstone
from services.ingest.retention import Retention

log = logging.getLogger("ezstat.ingest.scrub")

LOOK_EVERY = 300.0
FRAMES_AT_ONCE = 200
MOST_NEEDLES = 50
_LOCK = 0x657A7374  # "ezst": one scrub at a time (class, partition)

_OPEN = """
select stat, account, mode, name, (extract(epoch from deleted_at) * 1000000)::bigint
from ingest.tombstones where partition = %s and scrubbed_at is null
"""

# The server looks for the bytes, so that frames which can't be concerned are not sent over.
_PAGE = """
select epoch, seq, case when received_at <= to_timestamp(%(until)s::float8 / 1000000) + interval '1 second' and (
    %(needles)s::bytea[] = '{}'
    or exists (select from unnest(%(needles)s::bytea[]) needle where position(needle in body) > 0)
) then body end
from ingest.frames
where partition = %(partition)s and (epoch, seq) > (%(epoch)s, %(seq)s)
order by epoch, seq limit %(limit)s
"""


_PARKED = "select id, body from ingest.parked where partition = %s and follower = 'writer'"
_REWRITE_PARKED = """
with dropped as (
    delete from ingest.parked
    where partition = %(partition)s and follower = 'writer' and id = %(id)s and %(body)s::bytea is null
)
update ingest.parked set body = %(body)s::bytea
where partition = %(partition)s and follower = 'writer' and id = %(id)s and %(body)s::bytea is not null
"""


@dataclass
class Scrubbed:
    """What a scrub did."""

    stats: int = 0
    frames: int = 0
    waiting: int = 0

    def __str__(self) -> str:
        text = f"scrubbed {self.stats} deleted stats out of {self.frames} archived frames"
        return text + (f"; {self.waiting} wait for a slow consumer" if self.waiting else "")


class Scrub:
    """Rewrites archived frames, then purges the streams."""

    def __init__(self, database: Database, retention: Retention, partitions: int) -> None:
        self._database = database
        self._retention = retention
        self._partitions = partitions

    async def run(self, every: float) -> NoReturn:
        """For ever: a scrub as soon as a deletion is so many seconds old, however often the process was started anew
        since; not more often than that."""
        while True:
            try:
                if await self._is_due(every):
                    log.info("%s", await self.once())
                    await asyncio.sleep(every)
            except (DatabaseUnavailable, BusUnavailable) as error:
                log.warning("no scrub for now: %s", error)
            await asyncio.sleep(min(every, LOOK_EVERY))

    async def _is_due(self, every: float) -> bool:
        async with self._database.house() as cursor:
            await cursor.execute(
                "select exists (select from ingest.tombstones"
                " where scrubbed_at is null and deleted_at <= now() - make_interval(secs => %s))",
                (every,),
            )
            row = await cursor.fetchone()
        return row is not None and bool(row[0])

    async def once(self) -> Scrubbed:
        """Scrub everything that is open. Raises `DatabaseUnavailable` and `BusUnavailable`."""
        done = Scrubbed()
        for partition in range(self._partitions):
            # What stands in the stream now must be purged too before a stat counts as scrubbed.
            newest = await self._retention.newest(partition)
            stones = await asyncio.to_thread(self._rewrite, partition, done)
            if not stones:
                continue  # what is young stays in the stream: a restored backup may need it
            gone = await self._retention.purge_up_to(partition, newest)
            await self._retention.purge_parked()
            if gone:
                done.stats += await self._finish(stones)
            else:
                done.waiting += len(stones)
        return done

    def _rewrite(self, partition: int, done: Scrubbed) -> list[Tombstone]:
        try:
            with self._database.connect() as connection:
                connection.autocommit = True
                connection.execute("select pg_advisory_lock(%s, %s)", (_LOCK, partition))
                stones = [Tombstone(*row) for row in connection.execute(_OPEN, (partition,))]
                if stones:
                    done.frames += _rewrite_frames(connection, partition, stones)
                    done.frames += _rewrite_parked(connection, partition, stones)
                return stones
        except psycopg.OperationalError as error:
            raise unavailable(error) from error

    async def _finish(self, stones: Sequence[Tombstone]) -> int:
        async with self._database.house() as cursor:
            # Nothing came back meanwhile: the writer archives no points of stats that have a tombstone.
            await cursor.execute(
                "update ingest.tombstones set scrubbed_at = now() where stat = any(%s)",
                ([stone.stat for stone in stones],),
            )
            return cursor.rowcount


async def command(process: Process, arguments: Sequence[str]) -> str:
    """`ezstat scrub`."""
    if arguments:
        raise SystemExit("ezstat scrub takes no arguments")
    partitions = process.settings.partitions
    return str(await Scrub(process.database, Retention(process.bus, partitions), partitions).once())


def _rewrite_frames(connection: Connection[TupleRow], partition: int, stones: Sequence[Tombstone]) -> int:
    burial = Burial(stones)
    given = {
        "partition": partition,
        "until": max(stone.deleted_at for stone in stones),
        "needles": burial.needles(MOST_NEEDLES),
        "limit": FRAMES_AT_ONCE,
    }
    rewritten = 0
    for page in _pages(connection, given):
        changes = [change for epoch, seq, body in page if (change := _change(burial, epoch, seq, body)) is not None]
        if changes:
            with connection.transaction(), connection.cursor() as cursor:
                for body, epoch, seq in changes:
                    _store(cursor, partition, epoch, seq, body)
            rewritten += len(changes)
    return rewritten


def _rewrite_parked(connection: Connection[TupleRow], partition: int, stones: Sequence[Tombstone]) -> int:
    """Messages that wait for a person may hold points too."""
    burial, changed = Burial(stones), 0
    for number, body in connection.execute(_PARKED, (partition,)).fetchall():
        try:
            frame = decode_frame(body)
        except (msgspec.MsgspecError, ValueError):
            continue  # nobody can tell what it is
        purged = burial.purge(frame)
        if purged is not frame:
            kept = None if purged is None else encode_frame(purged)
            connection.execute(_REWRITE_PARKED, {"partition": partition, "id": number, "body": kept})
            changed += 1
    return changed


def _pages(connection: Connection[TupleRow], given: dict[str, object]) -> Iterator[list[tuple[UUID, int, bytes]]]:
    """Archived frames in the order of their keys: (epoch, seq, body) of those that may be concerned."""
    epoch, seq = UUID(int=0), 0
    while True:
        rows = connection.execute(_PAGE, {**given, "epoch": epoch, "seq": seq}, binary=True).fetchall()
        if not rows:
            return
        epoch, seq, _ = rows[-1]
        yield [(epoch, seq, body) for epoch, seq, body in rows if body is not None]


def _change(burial: Burial, epoch: UUID, seq: int, body: bytes) -> tuple[bytes | None, UUID, int] | None:
    """What to store instead of a frame (None: nothing is left of it); None when it stays as it is."""
    frame = decode_frame(body)
    purged = burial.purge(frame)
    if purged is frame:
        return None
    return (None if purged is None else encode_frame(purged)), epoch, seq


def _store(cursor: psycopg.Cursor[TupleRow], partition: int, epoch: UUID, seq: int, body: bytes | None) -> None:
    key = (partition, epoch, seq)
    if body is None:
        cursor.execute("delete from ingest.frames where partition = %s and epoch = %s and seq = %s", key)
    else:
        cursor.execute(
            "update ingest.frames set body = %s where partition = %s and epoch = %s and seq = %s", (body, *key)
        )
