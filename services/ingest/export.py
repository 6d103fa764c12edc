"""Points on their way out: page by page in short transactions, any number of them in bounded memory."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import numpy as np

from libs.contracts.accounts import Mode
from libs.contracts.ingest import partition_of
from libs.eventstore.database import Database
from libs.http.errors import NotFound
from services.ingest import queries
from services.ingest.queries import Cursor, StatRow, Times, Values

STATS_AT_ONCE = 500
ROWS_AT_ONCE = 200
POINTS_AT_ONCE = 50_000
CHUNK = 10_000

# last_at travels as text: it is a key here, and Postgres' times reach further than Python's.
_PAGE = """
select last_at::text, id::text, n, body from (
    select *, sum(n) over (order by last_at, id) - n as before from (
        select last_at, ctid as id, n, body from ingest.points
        where partition = %(partition)s and stat = %(stat)s
            and (last_at, ctid) > (%(last_at)s::timestamptz, %(id)s::tid)
            and last_at >= %(start)s::timestamptz and first_at < %(end)s::timestamptz
        order by last_at, ctid limit %(limit)s
    ) rows
) counted
where before < %(points)s order by counted.last_at, counted.id
"""


@dataclass(frozen=True)
class Wanted:
    """What to export. `names` are names or ids, none means all; times are Unix seconds, None: no bound."""

    account: UUID
    mode: Mode
    names: Sequence[str] = ()
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True)
class Chunk:
    """Up to `CHUNK` points of a stat; `first` says that it is the stat's first chunk, which may be empty.

    `times` are Unix microseconds, in order inside a page of the export.
    """

    stat: StatRow
    first: bool
    times: Times
    values: Values


_NOTHING = (np.empty(0, "<i8"), np.empty(0, "<f8"))


class Export:
    """Reads what an account has. All methods raise `DatabaseUnavailable`."""

    def __init__(self, database: Database, partitions: int) -> None:
        self._database = database
        self._partitions = partitions

    async def check(self, wanted: Wanted) -> None:
        """Raises 404 when a stat that is asked for by name does not exist: later an answer has begun already."""
        for name in wanted.names:
            await self._named(wanted, name)

    async def chunks(self, wanted: Wanted) -> AsyncGenerator[Chunk, None]:
        """Everything wanted, stat by stat in the order of their names, at least one chunk for each."""
        async for stat in self._stats(wanted):
            first = True
            async for times, values in self._points(wanted, stat.id):
                yield Chunk(stat, first, times, values)
                first = False
            if first:
                yield Chunk(stat, True, *_NOTHING)

    async def _named(self, wanted: Wanted, name: str) -> StatRow:
        async with self._database.tenant(wanted.account) as cursor:
            partition = partition_of(wanted.account, self._partitions)
            stat = await queries.stat(cursor, wanted.account, wanted.mode, name, partition)
        if stat is None:
            raise NotFound("no such stat")
        return stat

    async def _stats(self, wanted: Wanted) -> AsyncIterator[StatRow]:
        if wanted.names:
            stats = [await self._named(wanted, name) for name in wanted.names]
            for stat in {stat.id: stat for stat in stats}.values():
                yield stat
            return
        after = ""
        while True:
            async with self._database.tenant(wanted.account) as cursor:
                partition = partition_of(wanted.account, self._partitions)
                page = await queries.stats(
                    cursor, wanted.account, wanted.mode, partition, after=after, limit=STATS_AT_ONCE
                )
            for stat in page:
                yield stat
            if len(page) < STATS_AT_ONCE:
                return
            after = page[-1].name

    async def _points(self, wanted: Wanted, stat: UUID) -> AsyncIterator[tuple[Times, Values]]:
        last_at, row_id = "-infinity", "(0,0)"
        while True:
            async with self._database.tenant(wanted.account) as cursor:
                page = await self._page(cursor, wanted, stat, last_at, row_id)
            if not page:
                return
            last_at, row_id = page[-1][0], page[-1][1]
            times, values = _inside(wanted, [(n, body) for _, _, n, body in page])
            for at in range(0, len(times), CHUNK):
                yield times[at : at + CHUNK], values[at : at + CHUNK]

    async def _page(
        self, cursor: Cursor, wanted: Wanted, stat: UUID, last_at: str, row_id: str
    ) -> list[tuple[str, str, int, bytes]]:
        await cursor.execute(
            _PAGE.encode(),
            {
                "partition": partition_of(wanted.account, self._partitions),
                "stat": stat,
                "last_at": last_at,
                "id": row_id,
                "start": _bound(wanted.start, "-infinity"),
                "end": _bound(wanted.end, "infinity"),
                "limit": ROWS_AT_ONCE,
                "points": POINTS_AT_ONCE,
            },
            binary=True,
        )
        return [(row[0], row[1], row[2], row[3]) for row in await cursor.fetchall()]


def _bound(seconds: float | None, otherwise: str) -> str:
    return otherwise if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def _inside(wanted: Wanted, rows: Sequence[tuple[int, bytes]]) -> tuple[Times, Values]:
    times = np.frombuffer(b"".join(body[: 8 * n] for n, body in rows), "<i8")
    values = np.frombuffer(b"".join(body[8 * n :] for n, body in rows), "<f8")
    inside = np.ones(len(times), np.bool_)
    if wanted.start is not None:
        inside &= times >= wanted.start * 1e6
    if wanted.end is not None:
        inside &= times < wanted.end * 1e6
    places = np.flatnonzero(inside)
    order = places[np.argsort(times[places], kind="stable")]
    return times[order], values[order]
