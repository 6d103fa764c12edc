"""Is ingest well? What is away, and whether points are taken all the same."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from redis.exceptions import RedisError

from libs.bus.errors import NATS_ERRORS
from libs.contracts.ingest import points_stream
from libs.eventstore.database import DatabaseUnavailable
from libs.runtime.process import Process
from services.ingest.spool import Spool

T = TypeVar("T")

LATE = 1000
"""Frames that may wait for a writer before that is worth telling."""
_TRUE_FOR = 1.0
_WITHIN = 1.0

_WRITERS = """
select partition, position from ingest.positions where follower = 'writer'
"""
_PARKED = "select count(*) from ingest.parked where replayed_at is null"


@dataclass(frozen=True)
class Report:
    """`accepting`: points are taken, if only into the spool. `parts` says of each part how it is."""

    accepting: bool
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def status(self) -> str:
        if not self.accepting:
            return "unavailable"
        return "ok" if all(part["status"] == "ok" for part in self.parts.values()) else "degraded"


class Health:
    """Looks at most once a second, however many ask."""

    def __init__(self, process: Process, spool: Spool) -> None:
        self._process = process
        self._spool = spool
        self._report = Report(False)
        self._until = 0.0
        self._looking: asyncio.Task[Report] | None = None

    async def report(self) -> Report:
        clock = self._process.clock
        if clock.monotonic() < self._until:
            return self._report
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        looking = self._looking
        try:
            self._report = await asyncio.shield(looking)
            self._until = clock.monotonic() + _TRUE_FOR
        finally:
            if looking.done():
                self._looking = None
        return self._report

    async def _look(self) -> Report:
        stored, newest, redis = await asyncio.gather(
            _soon(self._stored()), _soon(self._streamed()), _soon(self._redis())
        )  # fmt: skip
        parts: dict[str, dict[str, Any]] = {
            "postgres": _part(stored is not None),
            "nats": _part(newest is not None),
            "redis": _part(redis is True),
            "spool": self._spool_part(),
        }
        if stored is not None and newest is not None:
            parts["writer"] = _writer_part(stored, newest)
        return Report(self._process.bus.connected or self._has_room(), parts)

    def _has_room(self) -> bool:
        return self._spool.limit > 0 and self._spool.bytes < self._spool.limit

    def _spool_part(self) -> dict[str, Any]:
        spool = self._spool
        status = "off" if not spool.limit else "ok" if self._has_room() else "full"
        # Off is how the operator wants it, and nothing to complain about.
        return {"status": "ok" if status == "off" else status, "bytes": spool.bytes, "limit": spool.limit}

    async def _stored(self) -> "_Stored | None":
        try:
            async with self._process.database.house() as cursor:
                await cursor.execute(_WRITERS)
                positions = dict(await cursor.fetchall())
                await cursor.execute(_PARKED)
                row = await cursor.fetchone()
        except DatabaseUnavailable:
            return None
        return _Stored(positions, row[0] if row else 0)

    async def _streamed(self) -> dict[int, int] | None:
        if not self._process.bus.connected:
            return None
        try:
            return {
                partition: (await self._process.bus.js.stream_info(points_stream(partition))).state.last_seq
                for partition in range(self._process.settings.partitions)
            }
        except NATS_ERRORS:
            return None

    async def _redis(self) -> bool:
        # Its client gives up after 50 ms, which a busy machine may take once.
        for _ in range(3):
            with suppress(RedisError, OSError, TimeoutError):
                return bool(await self._process.redis.ping())
        return False


def _part(well: bool) -> dict[str, Any]:
    return {"status": "ok" if well else "down"}


def _writer_part(stored: "_Stored", newest: dict[int, int]) -> dict[str, Any]:
    lag = sum(max(0, last - stored.positions.get(partition, 0)) for partition, last in newest.items())
    status = "behind" if lag > LATE else "parked" if stored.parked else "ok"
    return {"status": status, "lag": lag, "parked": stored.parked}


@dataclass(frozen=True)
class _Stored:
    """How far the writers are, by partition, and how many frames wait for a person."""

    positions: dict[int, int]
    parked: int


async def _soon(look: Coroutine[Any, Any, T]) -> T | None:
    """What a look finds out within a second, else None. It is not waited for even to be cancelled: a frozen server
    would make that last."""
    task = asyncio.create_task(look)
    await asyncio.wait({task}, timeout=_WITHIN)
    if task.done():
        return task.result()
    task.add_done_callback(lambda late: late.cancelled() or late.exception())
    task.cancel()
    return None
