"""The revocation barrier: a key is dead once every ring that may hold it said that it dropped it, left, or died.

A ring is in the table `rings` from before its first answer, so that no ring holds a key without being asked here. A
ring that is partitioned away can't be told from a slow one: then the answer is "pending", and the ring learns of it
when it is back, because it asks again for everything it knows.
"""

import asyncio
import logging
from collections.abc import Iterable
from uuid import UUID

from libs.bus.connect import Bus
from libs.bus.errors import BusUnavailable
from libs.contracts.accounts import RING_DROP, RING_LEFT, RingBeat, RingDrop, RingDropped
from libs.eventstore.database import Database, DatabaseUnavailable
from libs.runtime.host import is_running, this_host
from services.accounts import queries

log = logging.getLogger("ezstat.accounts.barrier")

_DEADLINE = 2.5  # seconds that a revocation waits for rings
_FORGOTTEN = "1 hour"  # a ring that was silent for so long is gone with its machine


class Barrier:
    """Asks rings to drop keys. `start` returns at once; it listens as soon as the bus is there."""

    def __init__(self, bus: Bus, database: Database, deadline: float = _DEADLINE) -> None:
        self._bus = bus
        self._database = database
        self._deadline = deadline
        self._rounds: set[_Round] = set()

    async def start(self) -> None:
        await self._bus.listen(RING_LEFT, RingBeat, self._left)

    async def drop(self, *digests: bytes, account: UUID | None = None) -> bool:
        """True when no ring can accept these keys (or any of the account) any more. Call it after the commit."""
        if not digests and account is None:
            return True
        try:
            # Read after the commit: a ring that comes later reads the revoked key.
            async with self._database.house() as cursor:
                asked = _Round(await queries.rings(cursor))
            return await self._ask(RingDrop(digests=digests, account=account), asked)
        except (BusUnavailable, DatabaseUnavailable):
            return False

    async def _ask(self, message: RingDrop, asked: "_Round") -> bool:
        asked.gone(*[ring for ring in asked.rings if _is_dead_here(ring)])
        self._rounds.add(asked)
        survey = asyncio.create_task(
            self._bus.survey(RING_DROP, message, RingDropped, within=self._deadline, enough=asked.heard)
        )
        all_gone = asyncio.create_task(asked.done.wait())
        try:
            await asyncio.wait((survey, all_gone), return_when=asyncio.FIRST_COMPLETED)
            if survey.done():
                await survey  # raises what it met
            return asked.done.is_set()
        finally:
            self._rounds.discard(asked)
            survey.cancel()
            all_gone.cancel()
            await asyncio.gather(survey, all_gone, return_exceptions=True)

    async def _left(self, beat: RingBeat) -> None:
        """A ring ended, or the supervisor saw its process dead (`<host>:<pid>:*`)."""
        prefix, star, _ = beat.ring.partition("*")
        for asked in self._rounds:
            asked.gone(*[ring for ring in asked.rings if (ring.startswith(prefix) if star else ring == prefix)])
        try:
            async with self._database.house() as cursor:
                if star:
                    await cursor.execute("delete from accounts.rings where starts_with(ring, %s)", (prefix,))
                else:
                    await cursor.execute("delete from accounts.rings where ring = %s", (prefix,))
        except DatabaseUnavailable:
            log.warning("Postgres is away: that ring %s left is not written down", beat.ring)


class _Round:
    """Rings that have not answered one question yet."""

    def __init__(self, rings: Iterable[str]) -> None:
        self.rings = set(rings)
        self.done = asyncio.Event()
        self.gone()

    def gone(self, *rings: str) -> None:
        self.rings.difference_update(rings)
        if not self.rings:
            self.done.set()

    def heard(self, answers: list[RingDropped]) -> bool:
        self.gone(answers[-1].ring)
        return self.done.is_set()


def _is_dead_here(ring: str) -> bool:
    """Whether the ring belonged to a process of this machine that is no more, say of a run before a power cut."""
    host, _, rest = ring.partition(":")
    pid = rest.partition(":")[0]
    return host == this_host() and pid.isdigit() and not is_running(int(pid))


async def register(database: Database, ring: str) -> None:
    """Remember a ring durably. In a transaction of its own: committed before any key is read for the ring.

    A process has one ring: another one under its number belonged to a process that had the number before.
    """
    process = ring.rpartition(":")[0] + ":"
    async with database.house() as cursor:
        await cursor.execute("insert into accounts.rings (ring) values (%s) on conflict do nothing", (ring,))
        await cursor.execute("delete from accounts.rings where starts_with(ring, %s) and ring <> %s", (process, ring))


async def seen(database: Database, rings: Iterable[str]) -> None:
    """Rings that gave a sign of life lately; those silent for an hour are forgotten."""
    async with database.house() as cursor:
        await cursor.execute("update accounts.rings set seen_at = now() where ring = any(%s)", (list(rings),))
        await cursor.execute("delete from accounts.rings where seen_at < now() - %s::interval", (_FORGOTTEN,))
