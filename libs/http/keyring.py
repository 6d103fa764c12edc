"""The keys a process knows: filled on demand from accounts, emptied by a barrier over the bus.

A revocation is answered only when every ring has dropped the key, so two things must never happen here: that a dropped
key is accepted, and that an answer which was under way when the key was dropped brings it back.
"""

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from libs.bus.errors import BusUnavailable
from libs.contracts.accounts import (
    RESOLVE_KEY,
    RING_BEAT,
    RING_DROP,
    RING_LEFT,
    KeyFacts,
    KeyResolved,
    KeyUsed,
    ResolveKey,
    RingBeat,
    RingDrop,
    RingDropped,
)
from libs.http.errors import ServiceUnavailable
from libs.http.limits import Limiter
from libs.http.principal import Principal
from libs.http.write_bucket import Unmetered, WriteBucket
from libs.runtime.clock import Clock

if TYPE_CHECKING:
    from libs.bus.connect import Bus

log = logging.getLogger("ezstat.http.keyring")

RING_USED = "ring.used"
LONGEST_SECRET = 512
QUESTIONS = 64
"""Keys asked for at the same time: the rest waits, however many strangers try keys."""
WAITING = 1000
"""Keys that may wait to be asked for; more are refused at once."""
PATIENCE = (0.7, 1.3)
"""Seconds that an answer is waited for, try by try."""
USED_EVERY = 60


class KeyRing:
    """One per HTTP process. `known` is for the hot path, `find` for everybody who can wait."""

    def __init__(self, bus: "Bus", clock: Clock, limiter: Limiter, *, name: str, pepper: bytes) -> None:
        self.name = name
        self._bus = bus
        self._clock = clock
        self._limiter = limiter
        self._pepper = pepper
        self._by_secret: dict[bytes, Principal] = {}
        self._secrets: dict[bytes, bytes] = {}  # by both digests
        self._asking: dict[bytes, asyncio.Task[None]] = {}
        self._drops = 0
        self._permits = asyncio.Semaphore(QUESTIONS)
        self._now = self._told_until = clock.now()
        self._tasks: list[asyncio.Task[None]] = []
        self._recheck = asyncio.Event()

    async def start(self) -> None:
        """Listen for drops and begin to beat; returns at once, also while NATS is away."""
        await self._bus.listen(RING_DROP, RingDrop, self._drop)
        self._bus.on_back(self._recheck.set)
        self._tasks = [asyncio.create_task(self._beat()), asyncio.create_task(self._recheck_when_back())]

    async def close(self) -> None:
        """Forget everything and say that this ring has left."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._tell_used()
        self._forget(list(self._by_secret.values()))
        with suppress(BusUnavailable):
            await self._bus.broadcast(RING_LEFT, RingBeat(ring=self.name))

    def known(self, secret: bytes) -> Principal | None:
        """The principal of a key this ring holds; None: ask `find`."""
        principal = self._by_secret.get(secret)
        if principal is None or not principal.alive:
            return None
        expires = principal.facts.expires_at
        if expires is not None and expires <= self._clock.now():
            return None
        principal.used_at = self._now
        return principal

    async def find(self, secret: bytes) -> Principal | None:
        """The principal of a key, asking accounts when it is not known; None: no such key, or no more.

        Raises `ServiceUnavailable` when the key is not known and accounts can't be asked.
        """
        principal = self.known(secret)
        if principal is not None or not 0 < len(secret) <= LONGEST_SECRET:
            return principal
        asking = self._asking.get(secret)
        if asking is None:
            if len(self._asking) >= WAITING:
                raise ServiceUnavailable
            asking = self._asking[secret] = asyncio.create_task(self._resolve(secret))
            asking.add_done_callback(lambda done: self._asked(secret, done))
        await asyncio.shield(asking)
        return self.known(secret)

    def digests(self, secret: bytes) -> tuple[bytes, bytes]:
        """SHA-256 of a secret, and its HMAC with the pepper: under one of them accounts keeps it."""
        return hashlib.sha256(secret).digest(), hmac.digest(self._pepper, secret, hashlib.sha256)

    # Asking

    def _asked(self, secret: bytes, done: "asyncio.Task[None]") -> None:
        del self._asking[secret]
        if not done.cancelled():
            done.exception()  # seen, also when everybody who asked has gone

    async def _resolve(self, secret: bytes) -> None:
        digest, peppered = self.digests(secret)
        async with self._permits:
            facts = await self._facts(digest, peppered)
        if facts is not None:
            self._by_secret[secret] = Principal(facts, digest, peppered, self._bucket(facts))
            self._secrets[digest] = self._secrets[peppered] = secret

    async def _facts(self, digest: bytes, peppered: bytes) -> KeyFacts | None:
        """Asks until the answer is younger than every drop: one that was under way during a drop may be older."""
        question = ResolveKey(digest=digest, peppered=peppered, ring=self.name)
        while True:
            drops = self._drops
            resolved = await self._request(question)
            if self._drops == drops:
                return resolved.facts

    async def _request(self, question: ResolveKey) -> KeyResolved:
        """Asked twice, since a question that went to a process just ending is lost without a word."""
        for patience in PATIENCE:
            with suppress(BusUnavailable):
                return await self._bus.request(RESOLVE_KEY, question, KeyResolved, timeout=patience)
        raise ServiceUnavailable("Keys can't be checked just now; try again.")

    def _bucket(self, facts: KeyFacts) -> WriteBucket:
        if facts.unlimited or not self._limiter.enabled:
            return Unmetered()
        return WriteBucket(self._limiter, f"write:{facts.key_id}", self._limiter.write)

    # Dropping

    async def _drop(self, message: RingDrop) -> RingDropped:
        self._drops += 1
        secrets = [self._secrets[digest] for digest in message.digests if digest in self._secrets]
        concerned = [self._by_secret[secret] for secret in secrets]
        if message.account is not None:
            concerned += [held for held in self._by_secret.values() if held.facts.account == message.account]
        self._forget(concerned)
        return RingDropped(ring=self.name)

    def _forget(self, principals: Iterable[Principal]) -> None:
        for principal in principals:
            principal.alive = False
            secret = self._secrets.get(principal.digest, b"")
            if self._by_secret.get(secret) is principal:
                del self._by_secret[secret], self._secrets[principal.digest], self._secrets[principal.peppered]

    # In the background

    async def _beat(self) -> None:
        """Once a second: the coarse clock, a sign of life, and expired keys out; once a minute what was used."""
        seconds = 0
        while True:
            self._now = self._clock.now()
            self._forget([held for held in self._by_secret.values() if not held.valid(self._now)])
            with suppress(BusUnavailable):
                await self._bus.broadcast(RING_BEAT, RingBeat(ring=self.name))
            seconds += 1
            if seconds % USED_EVERY == 0:
                await self._tell_used()
            await asyncio.sleep(1)

    async def _tell_used(self) -> None:
        since, self._told_until = self._told_until, self._now
        used = {held.facts.key_id: held.used_at for held in self._by_secret.values() if held.used_at >= since}
        if used:
            with suppress(BusUnavailable):
                await self._bus.broadcast(RING_USED, KeyUsed(used=used))

    async def _recheck_when_back(self) -> None:
        """After each reconnect ask again for every key held: drops may have been missed. Held keys work meanwhile."""
        while True:
            await self._recheck.wait()
            self._recheck.clear()
            for principal in list(self._by_secret.values()):
                if not await self._still_true(principal):
                    self._forget([principal])

    async def _still_true(self, principal: Principal) -> bool:
        """Waits for accounts for as long as it takes; gives up when the connection was lost and came back once more,
        since then everything is asked anew."""
        while principal.alive and not self._recheck.is_set():
            try:
                return await self._facts(principal.digest, principal.peppered) == principal.facts
            except ServiceUnavailable:
                await asyncio.sleep(1)
        return principal.alive
