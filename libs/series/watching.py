"""Backfill, then follow: for a service that keeps rollups of some stats of its own, without gap and without overlap.

The service follows the points stream (`libs.bus.data.DataFollower`) and calls `fold` in its `apply`. `begin` asks
ingest for a stat's history, which is complete up to a stream position P, and stores it with P while it holds the
follower's position: if the follower is already beyond P, it asks again. From then on `fold` counts the points of
frames after P.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
from psycopg import Cursor
from psycopg.rows import TupleRow

from libs.bus.connect import Bus
from libs.bus.data import Received
from libs.contracts.accounts import Mode
from libs.contracts.ingest import SERIES, Bucket, SeriesAsked, SeriesTold, Source
from libs.series import columns, rollups
from libs.series.rollups import Points

log = logging.getLogger("ezstat.series")

_TRIES = 20


class WatchFailed(Exception):
    """The history could not be had without a gap; try again later. Nothing was stored."""


@dataclass(frozen=True)
class Watched:
    """A stat to watch. History begins at these Unix seconds: minutes, and hours for what is longer ago."""

    partition: int
    stat: UUID
    account: UUID
    mode: Mode
    name: str
    minutes_since: float
    hours_since: float


def ddl(schema: str) -> str:
    """The tables of a service that watches, safe to run again: `watched`, `minutes`, `hours`."""
    return rollups.ddl(schema) + files(__package__).joinpath("watched.sql").read_text().replace("{schema}", schema)


class Watch:
    """The watched stats of one follower of one service."""

    def __init__(self, schema: str, follower: str) -> None:
        self._schema = schema
        self._follower = follower

    async def begin(self, bus: Bus, connection: psycopg.AsyncConnection[TupleRow], wanted: Watched) -> None:
        """Watch a stat from now on. Raises `WatchFailed`, `BusUnavailable`."""
        at_least = 0
        for _ in range(_TRIES):
            asked = SeriesAsked(
                account=wanted.account, stat=wanted.stat, at_least=at_least,
                minutes_since=wanted.minutes_since, hours_since=wanted.hours_since,
            )  # fmt: skip
            told = await bus.request(SERIES, asked, SeriesTold)
            if told.too_many:
                raise WatchFailed("the history has too many buckets: begin later")
            if told.ready and (at_least := await self._store(connection, wanted, told)) <= told.upto:
                return
        raise WatchFailed("the history stays behind the follower")

    async def _store(self, connection: psycopg.AsyncConnection[TupleRow], wanted: Watched, told: SeriesTold) -> int:
        """Store the history if the follower is not beyond it; returns the follower's position either way."""
        async with connection.transaction(), connection.cursor() as cursor:
            await cursor.execute(
                f"select position from {self._schema}.positions where partition = %s and follower = %s for update",  # noqa: S608
                (wanted.partition, self._follower),
            )
            row = await cursor.fetchone()
            position = 0 if row is None else int(row[0])
            if position <= told.upto:
                await cursor.execute(
                    f"insert into {self._schema}.watched (partition, stat, account, mode, name, upto)"  # noqa: S608
                    " values (%s, %s, %s, %s, %s, %s) on conflict (partition, stat) do nothing returning upto",
                    (wanted.partition, wanted.stat, wanted.account, wanted.mode, wanted.name, told.upto),
                )
                if await cursor.fetchone() is not None:
                    for table, buckets in (("minutes", told.minutes), ("hours", told.hours)):
                        await self._insert(cursor, table, wanted, buckets)
            return position

    async def _insert(
        self, cursor: psycopg.AsyncCursor[TupleRow], table: str, wanted: Watched, buckets: Sequence[Bucket]
    ) -> None:
        await cursor.executemany(
            f"insert into {self._schema}.{table} (partition, stat, account, bucket, n, sum, min, max, last, last_at)"  # noqa: S608
            " values (%s, %s, %s, to_timestamp(%s / 1e6), %s, %s, %s, %s, %s, to_timestamp(%s / 1e6))",
            [(wanted.partition, wanted.stat, wanted.account, *bucket) for bucket in buckets],
        )

    def end(self, cursor: Cursor[TupleRow], stat: UUID) -> None:
        """Stop watching, and forget what was kept."""
        for table in ("watched", "minutes", "hours"):
            cursor.execute(f"delete from {self._schema}.{table} where stat = %s".encode(), (stat,))  # noqa: S608

    def fold(self, cursor: Cursor[TupleRow], partition: int, received: Sequence[Received]) -> Points | None:
        """Add the points of watched stats; returns them, sorted by (series, time), or None when there are none."""
        columns.register(cursor)
        watched = _Watched(cursor, self._schema, partition)
        if not watched:
            return None
        parts = [part for one in received if (part := watched.points(one)) is not None]
        if not parts:
            return None
        series, times, values = (np.concatenate([part[i] for part in parts]) for i in range(3))
        points = Points.sort(watched.stats, watched.accounts, series, times, values)
        rollups.fold(cursor, self._schema, partition, points)
        return points


class _Watched:
    """The watched stats of a partition, as one transaction sees them."""

    def __init__(self, cursor: Cursor[TupleRow], schema: str, partition: int) -> None:
        rows = cursor.execute(
            f"select stat, account, mode, name, upto from {schema}.watched where partition = %s".encode(),  # noqa: S608
            (partition,),
        ).fetchall()
        self.stats = [row[0].bytes for row in rows]
        self.accounts = [row[1].bytes for row in rows]
        self._upto = [row[4] for row in rows]
        self._by_id = {row[0]: i for i, row in enumerate(rows)}
        self._by_name = {(row[1], row[2], row[3]): i for i, row in enumerate(rows)}

    def __bool__(self) -> bool:
        return bool(self.stats)

    def _place(self, source: Source, sequence: int) -> int:
        if source.stat is not None:
            place = self._by_id.get(source.stat, -1)
        else:
            # The sender did not know the stat's id yet (Postgres was away).
            place = self._by_name.get((source.account, source.mode, source.name), -1)
        return place if place >= 0 and sequence > self._upto[place] else -1

    def points(self, one: Received) -> tuple[Any, Any, Any] | None:
        """(series, times, values) of a frame's points that are watched."""
        places = [self._place(source, one.sequence) for source in one.frame.sources]
        if max(places, default=-1) < 0:
            return None
        series = np.array(places, np.int64)[np.frombuffer(one.frame.index, "<u2")]
        keep = series >= 0 if one.keep is None else (series >= 0) & one.keep
        times = np.frombuffer(one.frame.times, "<i8")
        return series[keep], times[keep], np.frombuffer(one.frame.values, "<f8")[keep]
