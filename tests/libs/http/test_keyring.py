"""The key ring: what is known is answered at once, what is dropped never comes back, whatever is under way."""

import asyncio
from uuid import UUID, uuid4

import pytest

from libs.contracts.accounts import RING_BEAT, RING_LEFT, KeyUsed, RingBeat
from libs.http.errors import ServiceUnavailable, Unauthorized
from libs.http.keyring import RING_USED
from libs.http.write_bucket import Unmetered, WriteBucket
from tests.eventually import eventually
from tests.libs.http.house import House
from tests.servers import Running


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


async def test_without_accounts_known_keys_work_and_unknown_ones_are_503(house: House) -> None:
    house.issue(b"known")
    await house.ring.find(b"known")
    await house.accounts.bus.close()
    assert await house.ring.find(b"known")
    with pytest.raises(ServiceUnavailable):
        await house.ring.find(b"unknown")


async def test_a_drop_missed_while_the_bus_was_away_is_made_up_for(house: House, own_nats: Running) -> None:
    house.issue(b"kept")
    house.issue(b"revoked")
    kept, revoked = await house.ring.find(b"kept"), await house.ring.find(b"revoked")
    assert kept is not None
    assert revoked is not None
    own_nats.kill()
    await eventually(lambda: not house.process.bus.connected)
    house.revoke(b"revoked")  # and no ring can be told
    assert house.ring.known(b"kept") is kept
    with pytest.raises(ServiceUnavailable):
        await house.ring.find(b"unknown")
    own_nats.start()
    await eventually(lambda: not revoked.alive, within=15)
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
