"""Tells the key rings' registry which rings died with their process, so that no revocation waits for them."""

import asyncio
import logging
import time
from contextlib import suppress

from libs.bus.connect import Bus
from libs.bus.errors import BusUnavailable
from libs.contracts.accounts import RING_LEFT, RingBeat
from libs.runtime.host import is_running, this_host

logger = logging.getLogger(__name__)

_REPEATED_FOR = 60.0
"""Seconds: bus and accounts may be starting again themselves when a process dies."""


class DeadRings:
    """Says once a second, for a minute, that the rings of a dead process have left."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._died: dict[int, float] = {}

    def died(self, pid: int) -> None:
        self._died[pid] = time.monotonic()

    async def close(self) -> None:
        await self._bus.close()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            now = time.monotonic()
            self._died = {pid: at for pid, at in self._died.items() if now - at < _REPEATED_FOR}
            with suppress(BusUnavailable):  # it is said again in a second
                for pid in self._died:
                    if not is_running(pid):  # a new process may have got the number, and holds keys
                        await self._bus.broadcast(RING_LEFT, RingBeat(ring=f"{this_host()}:{pid}:*"))
            await asyncio.sleep(1)
