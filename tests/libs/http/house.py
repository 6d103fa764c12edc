"""A ring, and accounts as rings know it: its keys in a dict, everything else real."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import ClassVar
from uuid import UUID, uuid4

from libs.bus.connect import Bus
from libs.contracts.accounts import RESOLVE_KEY, RING_DROP, KeyFacts, KeyResolved, ResolveKey, RingDrop, RingDropped
from libs.eventstore.database import Database
from libs.http.keyring import KeyRing
from libs.http.limits import Limiter
from libs.runtime.clock import SystemClock
from libs.runtime.process import Process, connect_redis, new_metrics
from libs.runtime.settings import Settings

PEPPER = b"pepper"
NOWHERE = "postgresql://nobody@127.0.0.1:1/none"


class Accounts:
    """What accounts does for rings, with its keys in a dict; `gate` holds answers back that are already decided.

    The dict is one for all: whichever of several answers, says the same.
    """

    keys: ClassVar[dict[bytes, KeyFacts]] = {}

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.asked = 0
        self.broken = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def start(self) -> None:
        await self.bus.answer(RESOLVE_KEY, ResolveKey, self.resolve, "accounts")

    async def resolve(self, question: ResolveKey) -> KeyResolved:
        self.asked += 1
        if self.broken:
            raise ConnectionError("for a test")
        facts = self.keys.get(question.digest) or self.keys.get(question.peppered)
        await self.gate.wait()
        return KeyResolved(facts=facts)

    async def drop(self, *digests: bytes, account: UUID | None = None) -> list[RingDropped]:
        message = RingDrop(digests=digests, account=account)
        return await self.bus.survey(RING_DROP, message, RingDropped, 5, lambda answers: len(answers) == 1)


class House:
    """A ring and accounts on two connections of one bus."""

    def __init__(self, ring: KeyRing, accounts: Accounts, process: Process) -> None:
        self.ring = ring
        self.accounts = accounts
        self.process = process

    def issue(self, secret: bytes, **facts: object) -> KeyFacts:
        made = KeyFacts(**{"key_id": uuid4(), "account": uuid4(), "kind": "account", **facts})  # type: ignore[arg-type]
        self.accounts.keys[self.ring.digests(secret)[made.kind == "ez"]] = made
        return made

    def revoke(self, secret: bytes) -> bytes:
        digest = next(digest for digest in self.ring.digests(secret) if digest in self.accounts.keys)
        del self.accounts.keys[digest]
        return digest


@contextlib.asynccontextmanager
async def open_house(nats_url: str, redis_url: str, settings: Settings | None = None) -> AsyncIterator[House]:
    settings = settings or Settings(secret="for tests")
    ours, theirs = Bus.start(nats_url, "ring"), Bus.start(nats_url, "accounts")
    cache, clock = connect_redis(redis_url), SystemClock()
    await ours.wait(5)
    await theirs.wait(5)
    accounts = Accounts(theirs)
    await accounts.start()
    limiter = Limiter(cache, clock, enabled=settings.rate_limits)
    ring = KeyRing(ours, clock, limiter, name="host:1:abc", pepper=PEPPER)
    await ring.start()
    await theirs.nc.flush()
    await ours.nc.flush()
    process = Process(
        settings=settings, role="http", name="http-1", clock=clock, bus=ours, database=Database(NOWHERE, "ezstat_app"),
        redis=cache, ring=ring, limiter=limiter, metrics=new_metrics(), tasks=None, ring_name=ring.name,
    )  # fmt: skip
    try:
        yield House(ring, accounts, process)
    finally:
        accounts.gate.set()
        await ring.close()
        await ours.close()
        await theirs.close()
        await cache.aclose()
