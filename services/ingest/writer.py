"""The writer: frames from the bus -> archive, points, rollups, in the transaction that also holds the position."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
from psycopg import Cursor
from psycopg.rows import TupleRow

from libs.bus.data import Received
from libs.contracts.ingest import Source, encode_frame
from libs.eventstore.store import Conflict
from libs.series import columns, rollups
from libs.series.rollups import Points
from services.ingest.domain import Stat, clean_name
from services.ingest.frames import narrowed
from services.ingest.writer_lock import hold_off_deletions

log = logging.getLogger("ezstat.ingest.writer")

Commit = Callable[[Stat], None]
"""Commits one new stat (its own transaction); raises `Conflict` when the name is taken, `Declined` when it won't."""


class Declined(Exception):
    """There shall be no such stat; its points go nowhere."""


DROPPED = -1
_CATALOG_LIMIT = 200_000


@dataclass(frozen=True)
class Target:
    """A stat that points go to."""

    stat: UUID
    account: UUID
    kind: str


class Writer:
    """Applies frames for one partition. `apply` runs in the follower's transaction, on its connection."""

    def __init__(self, partition: int, register: Commit) -> None:
        self._partition = partition
        self._register = register
        self._live: dict[UUID, Target] = {}
        self._named: dict[tuple[UUID, str, str], Target] = {}
        self._buried: int | None = None

    def apply(self, cursor: Cursor[TupleRow], received: Sequence[Received]) -> None:
        """Store these frames: each exactly once, its points where they belong, points of deleted stats nowhere."""
        columns.register(cursor)
        self._notice_deletions(cursor)
        self._archive(cursor, received, self.fold(cursor, received))

    def fold(self, cursor: Cursor[TupleRow], received: Sequence[Received]) -> list[bytes]:
        """Points and rollups only: what `replay` does with frames that are archived already. Returns for each frame
        what there is to archive: only points that counted."""
        targets: dict[UUID, int] = {}
        stats: list[bytes] = []
        accounts: list[bytes] = []
        parts: list[tuple[Any, Any, Any]] = []
        bodies: list[bytes] = []
        self._look_up(cursor, (source for one in received for source in one.frame.sources))
        for one in received:
            places = np.empty(len(one.frame.sources), np.int64)
            for i, source in enumerate(one.frame.sources):
                target = self._target(cursor, source, one.frame.received)
                if target is None:
                    places[i] = DROPPED
                    continue
                place = targets.get(target.stat)
                if place is None:
                    place = targets[target.stat] = len(stats)
                    stats.append(target.stat.bytes)
                    accounts.append(target.account.bytes)
                places[i] = place
            parts.append(_columns(one, places))
            bodies.append(_counted(one, places))
        series = np.concatenate([part[0] for part in parts])
        if not len(series):
            return bodies
        times = np.concatenate([part[1] for part in parts])
        values = np.concatenate([part[2] for part in parts])
        points = Points.sort(stats, accounts, series, times, values)
        self._store(cursor, points)
        rollups.fold(cursor, "ingest", self._partition, points)
        return bodies

    def _notice_deletions(self, cursor: Cursor[TupleRow]) -> None:
        hold_off_deletions(cursor, self._partition)
        row = cursor.execute("select count(*) from ingest.tombstones").fetchone()
        assert row is not None
        if row[0] != self._buried or len(self._live) > _CATALOG_LIMIT:
            self._buried = row[0]
            self._live.clear()
            self._named.clear()

    def _archive(self, cursor: Cursor[TupleRow], received: Sequence[Received], bodies: Sequence[bytes]) -> None:
        cursor.execute(
            "insert into ingest.frames (partition, epoch, seq, received_at, stream_seq, body)"
            " select %s, * from unnest(%b, %b, %b, %b, %b)",
            (
                self._partition,
                columns.uuids(np.array([one.frame.epoch.bytes for one in received], "V16")),
                columns.int8s(np.array([one.frame.seq for one in received], np.int64)),
                columns.timestamps(np.array([one.frame.received for one in received], np.int64)),
                columns.int8s(np.array([one.sequence for one in received], np.int64)),
                columns.byteas(bodies),
            ),
            prepare=True,
        )

    def _look_up(self, cursor: Cursor[TupleRow], sources: Iterable[Source]) -> None:
        unknown = list({source.stat for source in sources if source.stat is not None and source.stat not in self._live})
        if unknown:
            for stat, account, kind in cursor.execute(
                "select id, account, kind from ingest.stats where id = any(%s)", (unknown,)
            ):
                self._live[stat] = Target(stat, account, kind)

    def _target(self, cursor: Cursor[TupleRow], source: Source, received: int) -> Target | None:
        """Where points of a source go; None: nowhere, the stat was deleted after they were received."""
        if source.stat is not None:
            target = self._live.get(source.stat)
            if target is not None:
                return target
        return self._by_name(cursor, source, received)

    def _by_name(self, cursor: Cursor[TupleRow], source: Source, received: int) -> Target | None:
        key = (source.account, source.mode, source.name)
        if self._deleted_since(cursor, source, received):
            return None
        target = self._named.get(key) or self._find(cursor, source)
        if target is None:
            try:
                self._register(Stat(source.account, source.mode, clean_name(source.name), source.kind, "writer"))
            except Conflict:
                log.info("somebody else registered a stat first")
            except Declined:
                return None
            target = self._find(cursor, source)
            if target is None:
                raise RuntimeError("a stat was registered and can't be found")
        if target.kind != source.kind:
            # Two processes took a new name for different kinds while Postgres was away. Both were acknowledged, so
            # both count; parking the frame would keep back other accounts' points too.
            log.warning("points of a %s go to a stat that is a %s", source.kind, target.kind)
        self._named[key] = target
        return target

    @staticmethod
    def _deleted_since(cursor: Cursor[TupleRow], source: Source, received: int) -> bool:
        row = cursor.execute(
            "select exists (select from ingest.tombstones where account = %s and mode = %s and name = %s"
            " and deleted_at >= to_timestamp(%s::float8 / 1e6))",
            (source.account, source.mode, source.name, received),
        ).fetchone()
        assert row is not None
        return bool(row[0])

    @staticmethod
    def _find(cursor: Cursor[TupleRow], source: Source) -> Target | None:
        row = cursor.execute(
            "select id, account, kind from ingest.stats where account = %s and mode = %s and name = %s",
            (source.account, source.mode, source.name),
        ).fetchone()
        return None if row is None else Target(*row)

    def _store(self, cursor: Cursor[TupleRow], points: Points) -> None:
        """Points as sent: one row per stat, its times and values packed."""
        starts = np.flatnonzero(np.concatenate(([True], points.series[1:] != points.series[:-1])))
        ends = np.append(starts[1:], len(points.series))
        series = points.series[starts]
        times, values = points.times.tobytes(), points.values.tobytes()
        bodies = [
            times[start:end] + values[start:end]
            for start, end in zip((starts * 8).tolist(), (ends * 8).tolist(), strict=True)
        ]
        cursor.execute(
            "insert into ingest.points (partition, stat, first_at, last_at, account, n, body)"
            " select %s, * from unnest(%b, %b, %b, %b, %b, %b)",
            (
                self._partition,
                columns.uuids(points.stats[series]),
                columns.timestamps(points.times[starts]),
                columns.timestamps(points.times[ends - 1]),
                columns.uuids(points.accounts[series]),
                columns.int8s(ends - starts),
                columns.byteas(bodies),
            ),
            prepare=True,
        )


def _columns(one: Received, places: Any) -> tuple[Any, Any, Any]:
    """(series, times, values) of the points of a frame that count."""
    frame = one.frame
    series = places[np.frombuffer(frame.index, "<u2")]
    times = np.frombuffer(frame.times, "<i8")
    values = np.frombuffer(frame.values, "<f8")
    keep = series != DROPPED
    if one.keep is not None:
        keep &= one.keep
    if keep.all():
        return series, times, values
    return series[keep], times[keep], values[keep]


def _counted(one: Received, places: Any) -> bytes:
    """The frame as it goes into the archive: as it came, unless some of it did not count."""
    sources = places != DROPPED
    if one.keep is None and sources.all():
        return one.body
    return encode_frame(narrowed(one.frame, sources, one.keep))
