"""Is ingest well? What is away, and whether points are taken all the same."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import RedisError

from libs.bus.errors import NATS_ERRORS
from libs.contracts.ingest import points_stream
from libs.eventstore.database import DatabaseUnavailable
from libs.runtime.process import Process
from services.ingest.spool import Spool

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
        (positions, parked), newest, redis = await asyncio.gather(self._stored(), self._streamed(), self._redis())
        parts: dict[str, dict[str, Any]] = {
            "postgres": _part(positions is not None),
            "nats": _part(newest is not None),
            "redis": _part(redis),
            "spool": self._spool_part(),
        }
        if positions is not None and newest is not None:
            parts["writer"] = _writer_part(positions, newest, parked)
        return Report(self._process.bus.connected or self._has_room(), parts)

    def _has_room(self) -> bool:
        return self._spool.limit > 0 and self._spool.bytes < self._spool.limit

    def _spool_part(self) -> dict[str, Any]:
        spool = self._spool
        status = "off" if not spool.limit else "ok" if self._has_room() else "full"
        # Off is how the operator wants it, and nothing to complain about.
        return {"status": "ok" if status == "off" else status, "bytes": spool.bytes, "limit": spool.limit}

    async def _stored(self) -> tuple[dict[int, int] | None, int]:
        try:
            async with asyncio.timeout(_WITHIN), self._process.database.house() as cursor:
                await cursor.execute(_WRITERS)
                positions = dict(await cursor.fetchall())
                await cursor.execute(_PARKED)
                row = await cursor.fetchone()
        except (DatabaseUnavailable, TimeoutError):
            return None, 0
        return positions, row[0] if row else 0

    async def _streamed(self) -> dict[int, int] | None:
        if not self._process.bus.connected:
            return None
        try:
            async with asyncio.timeout(_WITHIN):
                return {
                    partition: (await self._process.bus.js.stream_info(points_stream(partition))).state.last_seq
                    for partition in range(self._process.settings.partitions)
                }
        except (*NATS_ERRORS, TimeoutError):
            return None

    async def _redis(self) -> bool:
        try:
            return bool(await self._process.redis.ping())
        except (RedisError, OSError, TimeoutError):
            return False


def _part(well: bool) -> dict[str, Any]:
    return {"status": "ok" if well else "down"}


def _writer_part(positions: dict[int, int], newest: dict[int, int], parked: int) -> dict[str, Any]:
    lag = sum(max(0, last - positions.get(partition, 0)) for partition, last in newest.items())
    status = "behind" if lag > LATE else "parked" if parked else "ok"
    return {"status": status, "lag": lag, "parked": parked}
