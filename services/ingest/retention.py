"""How long the points streams keep what everybody has processed: a day where room allows, nothing of deleted stats."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import NoReturn

from libs.bus.connect import Bus
from libs.bus.errors import NATS_ERRORS
from libs.contracts.ingest import points_stream
from libs.runtime.clock import Clock

log = logging.getLogger("ezstat.ingest.retention")

EVERY = 3600.0
KEPT = timedelta(hours=24)
_PAGE = 256


class Retention:
    """Purges the points streams, only ever below what every durable consumer has acknowledged.

    Followers acknowledge after the commit of their position, so an ack floor is never ahead of what is stored.
    Methods raise nats-py's errors.
    """

    def __init__(self, bus: Bus, partitions: int, clock: Clock) -> None:
        self._bus = bus
        self._partitions = partitions
        self._clock = clock

    async def run(self) -> NoReturn:
        """Once an hour, for ever."""
        while True:
            for partition in range(self._partitions):
                await self._attempt(self.purge_old, partition)
            await asyncio.sleep(EVERY)

    @staticmethod
    async def _attempt(purge: Callable[[int], Awaitable[int]], partition: int) -> None:
        try:
            await purge(partition)
        except NATS_ERRORS as error:
            log.warning("stream %d is not purged for now: %s", partition, error or type(error).__name__)

    async def floor(self, partition: int) -> int:
        """The stream sequence that the slowest durable consumer has acknowledged; 0 while there is none."""
        floors: list[int] = []
        while True:
            page = await self._bus.js.consumers_info(points_stream(partition), offset=len(floors))
            floors += [
                consumer.ack_floor.stream_seq if consumer.ack_floor is not None else 0
                for consumer in page
                if consumer.config.durable_name
            ]
            if len(page) < _PAGE:
                return min(floors, default=0)

    async def last(self, partition: int) -> int:
        """The newest sequence of the stream."""
        return (await self._bus.js.stream_info(points_stream(partition))).state.last_seq

    async def purge_processed(self, partition: int) -> int:
        """Purge all that every durable consumer has acknowledged; returns the first sequence that may be left."""
        return await self._purge(partition, await self.floor(partition) + 1)

    async def purge_old(self, partition: int) -> int:
        """Purge what is processed and older than a day, or all that is processed when the stream is over half full."""
        info = await self._bus.js.stream_info(points_stream(partition))
        below = await self.floor(partition) + 1
        if info.config.max_bytes is None or info.state.bytes * 2 <= info.config.max_bytes:
            below = await self._first_since(partition, self._clock.now(), info.state.first_seq, below)
        return await self._purge(partition, below)

    async def _purge(self, partition: int, below: int) -> int:
        # Sequence 1 is the first there is; and a purge without a number would purge everything.
        if below > 1:
            await self._bus.js.purge_stream(points_stream(partition), seq=below)
        return below

    async def _first_since(self, partition: int, now: float, first: int, end: int) -> int:
        """The first sequence in [first, end) that is younger than a day, by bisection; `end` if none is."""
        since = datetime.fromtimestamp(now, UTC) - KEPT
        while first < end:
            middle = (first + end) // 2
            message = await self._bus.js.get_msg(points_stream(partition), middle)
            assert message.time is not None
            if message.time < since:
                first = middle + 1
            else:
                end = middle
        return first
