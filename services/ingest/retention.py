"""How long the points streams keep what everybody has processed: a day where room allows, nothing of deleted stats."""

import asyncio
import logging
from datetime import timedelta
from typing import NoReturn

from libs.bus.connect import Bus
from libs.bus.errors import NATS_ERRORS, BusUnavailable
from libs.bus.purging import KEPT, purge_processed
from libs.bus.streams import PARKED
from libs.contracts.ingest import points_stream

log = logging.getLogger("ezstat.ingest.retention")

EVERY = 3600.0
_PATIENCE = 5.0
WRITERS = ("ingest-writer",)
"""Nothing is purged before the writer's consumer is there."""


class Retention:
    """Purges the points streams. Methods raise `BusUnavailable`."""

    def __init__(self, bus: Bus, partitions: int) -> None:
        self._bus = bus
        self._partitions = partitions

    async def run(self) -> NoReturn:
        """Once an hour, for ever."""
        while True:
            for partition in range(self._partitions):
                try:
                    await self._purge(partition, KEPT)
                except BusUnavailable as error:
                    log.warning("nothing is purged for now: %s", error)
            await asyncio.sleep(EVERY)

    async def _purge(self, partition: int, kept: timedelta) -> None:
        await self._bus.wait(_PATIENCE)
        await purge_processed(self._bus, points_stream(partition), WRITERS, kept)

    async def newest(self, partition: int) -> int:
        """The newest sequence of a stream."""
        return (await self._ends(partition))[1]

    async def purge_up_to(self, partition: int, sequence: int) -> bool:
        """Purge what is processed, however young; True when that is everything up to `sequence`."""
        await self._purge(partition, timedelta(0))
        return (await self._ends(partition))[0] > sequence

    async def purge_parked(self) -> None:
        """Copies of what the writer parked; the originals are in its table."""
        try:
            await self._bus.js.purge_stream(PARKED, subject="parked.ingest.writer")
        except NATS_ERRORS as error:
            raise BusUnavailable(str(error) or type(error).__name__) from error

    async def _ends(self, partition: int) -> tuple[int, int]:
        await self._bus.wait(_PATIENCE)
        try:
            state = (await self._bus.js.stream_info(points_stream(partition))).state
        except NATS_ERRORS as error:
            raise BusUnavailable(str(error) or type(error).__name__) from error
        # A stream that never held anything begins at 0 and ends there.
        return (state.first_seq if state.messages else state.last_seq + 1), state.last_seq
