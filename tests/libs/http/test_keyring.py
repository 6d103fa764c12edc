"""The key ring: what is known is answered at once, what is dropped never comes back, whatever is under way."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from libs.bus.connect import Bus
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
from libs.http.errors import ServiceUnavailable, Unauthorized
from libs.http.keyring import RING_USED, KeyRing
from libs.http.limits import Limiter
from libs.http.write_bucket import Unmetered, WriteBucket
from libs.runtime.clock import SystemClock
from libs.runtime.process import connect_redis
from tests.eventually import eventually
from tests.servers import Servers

PEPPER = b"pepper"


class Accounts:
    """What accounts does for rings, with its keys in a dict; `gate` holds answers back that are already decided."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.keys: dict[bytes, KeyFacts] = {}
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def start(self) -> None:
        await self.bus.answer(RESOLVE_KEY, ResolveKey, self.resolve, "accounts")

    async def resolve(self, question: ResolveKey) -> KeyResolved:
        self.asked += 1
        facts = self.keys.get(question.digest) or self.keys.get(question.peppered)
        await self.gate.wait()
        return KeyResolved(facts=facts)

    async def drop(self, *digests: bytes, account: UUID | None = None) -> list[RingDropped]:
        message = RingDrop(digests=digests, account=account)
        return await self.bus.survey(RING_DROP, message, RingDropped, 5, lambda answers: len(answers) == 1)


class House:
    """A ring and accounts on two connections of one bus."""

    def __init__(self, ring: KeyRing, accounts: Accounts, bus: Bus) -> None:
        self.ring = ring
        self.accounts = accounts
        self.bus = bus

    def issue(self, secret: bytes, **facts: object) -> KeyFacts:
        made = KeyFacts(**{"key_id": uuid4(), "account": uuid4(), "kind": "account", **facts})  # type: ignore[arg-type]
        self.accounts.keys[self.ring.digests(secret)[made.kind == "ez"]] = made
        return made

    def revoke(self, secret: bytes) -> bytes:
        digest = next(digest for digest in self.ring.digests(secret) if digest in self.accounts.keys)
        del self.accounts.keys[digest]
        return digest


@pytest.fixture
async def house(servers: Servers) -> AsyncIterator[House]:
    ours, theirs = Bus.start(servers.nats_url, "ring"), Bus.start(servers.nats_url, "accounts")
    cache = connect_redis(servers.redis_url)
    await ours.wait(5)
    await theirs.wait(5)
    accounts = Accounts(theirs)
    await accounts.start()
    clock = SystemClock()
    ring = KeyRing(ours, clock, Limiter(cache, clock), name="host:1:abc", pepper=PEPPER)
    await ring.start()
    await theirs.nc.flush()
    await ours.nc.flush()
    yield House(ring, accounts, ours)
    accounts.gate.set()
    await ring.close()
    await ours.close()
    await theirs.close()
    await cache.aclose()


async def test_a_key_is_asked_for_once_and_then_known(house: House) -> None:
    facts = house.issue(b"secret")
    assert house.ring.known(b"secret") is None
    found = await asyncio.gather(*[house.ring.find(b"secret") for _ in range(5)])
    assert {principal.facts for principal in found if principal} == {facts}
    assert house.ring.known(b"secret") is found[0]
    assert house.accounts.asked == 1


async def test_an_adopted_key_is_found_by_its_peppered_digest(house: House) -> None:
    facts = house.issue(b"me@example.com", kind="ez")
    principal = await house.ring.find(b"me@example.com")
    assert principal is not None
    assert principal.facts == facts
    await house.accounts.drop(house.revoke(b"me@example.com"))
    assert await house.ring.find(b"me@example.com") is None


@pytest.mark.parametrize("secret", [b"", b"unknown", b"x" * 513])
async def test_what_is_no_key_is_nobody(house: House, secret: bytes) -> None:
    assert await house.ring.find(secret) is None


async def test_an_expired_key_is_not_known(house: House) -> None:
    house.issue(b"old", expires_at=1.0)
    assert await house.ring.find(b"old") is None


async def test_once_the_drop_is_answered_the_key_is_dead_for_requests_in_flight_too(house: House) -> None:
    house.issue(b"secret")
    principal = await house.ring.find(b"secret")
    assert principal is not None
    answers = await house.accounts.drop(house.revoke(b"secret"))
    assert [answer.ring for answer in answers] == [house.ring.name]
    assert house.ring.known(b"secret") is None
    with pytest.raises(Unauthorized):
        principal.require_alive()
    assert await house.ring.find(b"secret") is None


async def test_an_answer_decided_before_the_drop_does_not_bring_the_key_back(house: House) -> None:
    house.issue(b"secret")
    house.accounts.gate.clear()
    finding = asyncio.create_task(house.ring.find(b"secret"))
    await eventually(lambda: house.accounts.asked == 1)
    await house.accounts.drop(house.revoke(b"secret"))
    house.accounts.gate.set()
    assert await finding is None
    assert house.accounts.asked == 2


async def test_dropping_an_account_drops_its_keys_and_no_others(house: House) -> None:
    account = uuid4()
    house.issue(b"one", account=account, role="owner")
    house.issue(b"two", account=account)
    house.issue(b"other")
    for secret in (b"one", b"two", b"other"):
        assert await house.ring.find(secret)
    house.issue(b"one", account=account, role="viewer")
    await house.accounts.drop(account=account)
    assert house.ring.known(b"one") is house.ring.known(b"two") is None
    assert house.ring.known(b"other")
    changed = await house.ring.find(b"one")
    assert changed is not None
    assert changed.facts.role == "viewer"


async def test_without_accounts_known_keys_work_and_unknown_ones_are_503(servers: Servers, house: House) -> None:
    house.issue(b"known")
    await house.ring.find(b"known")
    await house.accounts.bus.close()
    assert await house.ring.find(b"known")
    with pytest.raises(ServiceUnavailable):
        await house.ring.find(b"unknown")


async def test_a_drop_missed_while_the_bus_was_away_is_made_up_for(house: House) -> None:
    house.issue(b"kept")
    house.issue(b"revoked")
    kept, revoked = await house.ring.find(b"kept"), await house.ring.find(b"revoked")
    assert kept is not None
    assert revoked is not None
    house.revoke(b"revoked")  # and the broadcast did not get through
    house.ring._recheck.set()  # what the bus calls when it is back
    await eventually(lambda: not revoked.alive)
    assert house.ring.known(b"kept") is kept


async def test_rings_beat_and_say_when_they_leave_and_what_was_used(house: House) -> None:
    beats: list[str] = []
    left: list[str] = []
    used: list[UUID] = []

    async def beat(message: RingBeat) -> None:
        beats.append(message.ring)

    async def leave(message: RingBeat) -> None:
        left.append(message.ring)

    async def use(message: KeyUsed) -> None:
        used.extend(message.used)

    bus = house.accounts.bus
    await bus.listen(RING_BEAT, RingBeat, beat)
    await bus.listen(RING_LEFT, RingBeat, leave)
    await bus.listen(RING_USED, KeyUsed, use)
    await bus.nc.flush()
    await eventually(lambda: house.ring.name in beats)
    facts = house.issue(b"secret")
    await house.ring.find(b"secret")
    await house.ring.close()
    await eventually(lambda: left == [house.ring.name] and used == [facts.key_id])
    assert house.ring.known(b"secret") is None


async def test_keys_without_limits_have_an_unmetered_bucket(house: House) -> None:
    house.issue(b"limited")
    house.issue(b"free", unlimited=True)
    limited, free = await house.ring.find(b"limited"), await house.ring.find(b"free")
    assert limited is not None
    assert free is not None
    assert type(limited.bucket) is WriteBucket
    assert type(free.bucket) is Unmetered
    assert free.bucket.take(10**9, 0.0) is True
    assert free.bucket.headers(0.0) == b""
