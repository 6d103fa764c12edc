"""The revocation barrier: a key is dead once every ring that may hold it said that it dropped it, left, or died.

A ring is in the table `rings` from before its first answer, so that no ring holds a key without being asked here. A
ring that is partitioned away can't be told from a slow one: then the answer is "pending", and the ring learns of it
when it is back, because it asks again for everything it knows.
"""

import asyncio
import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from uuid import UUID

import nats.errors
from libs.bus.connect import Bus
from nats.aio.msg import Msg

from libs.contracts.accounts import RING_DROP, RING_LEFT, RingBeat, RingDrop, RingDropped
from libs.contracts.envelope import decode, encode
from libs.eventstore.database import Database
from services.accounts import queries

_DEADLINE = 2.5  # seconds that a revocation waits for rings
_FORGOTTEN = "1 day"  # a ring that was silent for so long is gone with its machine


class Barrier:
    """Asks rings to drop keys. Call `start` once the bus is there or not: it listens as soon as it is."""

    def __init__(self, bus: Bus, database: Database, deadline: float = _DEADLINE) -> None:
        self._bus = bus
        self._database = database
        self._deadline = deadline
        self._waiting: set[_Round] = set()

    async def start(self) -> None:
        await self._bus.listen(RING_LEFT, RingBeat, self._left)

    async def drop(self, *digests: bytes, account: UUID | None = None) -> bool:
        """True when no ring can accept these keys any more. Call it after the commit."""
        if not digests and account is None:
            return True
        return await self._ask(RingDrop(digests=digests, account=account))

    async def _ask(self, message: RingDrop) -> bool:
        try:
            async with asyncio.timeout(self._deadline):
                # Read after the commit: a ring that comes later reads the revoked key.
                async with self._database.house() as cursor:
                    waiting = _Round(await queries.rings(cursor))
                return await self._hear(message, waiting)
        except (TimeoutError, nats.errors.Error):
            return False

    async def _hear(self, message: RingDrop, waiting: "_Round") -> bool:
        async def heard(answer: Msg) -> None:
            waiting.gone(decode(answer.data, RingDropped).ring)

        client = self._bus.nc
        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox, cb=heard)
        self._waiting.add(waiting)
        try:
            await client.publish(RING_DROP, encode(message), reply=inbox)
            waiting.gone(*[ring for ring in waiting.rings if _is_dead_here(ring)])
            await waiting.done.wait()
            return True
        finally:
            self._waiting.discard(waiting)
            with suppress(nats.errors.Error):
                await subscription.unsubscribe()

    async def _left(self, beat: RingBeat) -> None:
        """A ring ended, or the supervisor saw its process dead (`<host>:<pid>:*`)."""
        for waiting in self._waiting:
            waiting.gone(*[ring for ring in waiting.rings if _matches(ring, beat.ring)])
        prefix, star, _ = beat.ring.partition("*")
        async with self._database.house() as cursor:
            if star:
                await cursor.execute("delete from accounts.rings where starts_with(ring, %s)", (prefix,))
            else:
                await cursor.execute("delete from accounts.rings where ring = %s", (prefix,))


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


def _matches(ring: str, pattern: str) -> bool:
    return ring.startswith(pattern[:-1]) if pattern.endswith("*") else ring == pattern


def _is_dead_here(ring: str) -> bool:
    """Whether the ring belonged to a process of this machine that is no more, say of a run before a power cut."""
    host, _, rest = ring.partition(":")
    pid = rest.partition(":")[0]
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


async def register(database: Database, ring: str) -> None:
    """Remember a ring durably. In a transaction of its own: committed before any key is read for the ring."""
    async with database.house() as cursor:
        await cursor.execute("insert into accounts.rings (ring) values (%s) on conflict do nothing", (ring,))


async def seen(database: Database, rings: Iterable[str]) -> None:
    """Rings that gave a sign of life lately; those silent for a day are forgotten."""
    async with database.house() as cursor:
        await cursor.execute("update accounts.rings set seen_at = now() where ring = any(%s)", (list(rings),))
        await cursor.execute("delete from accounts.rings where seen_at < now() - %s::interval", (_FORGOTTEN,))
