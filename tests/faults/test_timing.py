"""Fault 26: how long an answer takes tells a stranger nothing about who is known here.

Hits and misses alternate, so that whatever else the machine does meets both alike.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from statistics import median
from uuid import uuid4

import httpx
import pytest

from services.accounts import secrets
from tests.cast import PASSWORD
from tests.faults.long import LONG
from tests.servers import Servers
from tests.services.accounts.installation import Installation, installed

pytestmark = pytest.mark.fault

KNOWN = "alice@example.org"
SAMPLES = 1000 if LONG else 8
TOLERANCE = 0.05 if LONG else 0.3  # of the median
ALWAYS_FINE = 50e-6  # seconds
ROUNDS = 3
"""A machine with other work may spoil a round; a leak shows in every one."""

Ask = Callable[[], Awaitable[httpx.Response]]


@pytest.fixture(scope="module")
async def here(servers: Servers) -> AsyncIterator[Installation]:
    async with installed(servers, working=False) as installation:
        yield installation


@pytest.fixture(scope="module")
async def stranger(here: Installation) -> AsyncIterator[httpx.AsyncClient]:
    async with here.browser() as browser:
        assert (await browser.post("/api/v1/auth/signup", json={"email": KNOWN, "password": PASSWORD})).is_success
    async with here.browser() as browser:
        yield browser


async def seconds(ask: Ask) -> float:
    started = time.perf_counter()
    await ask()
    return time.perf_counter() - started


async def differ(hit: Ask, miss: Ask) -> bool:
    """Whether hits and misses can be told apart, in every round."""
    for _ in range(ROUNDS):
        pairs = [(await seconds(hit), await seconds(miss)) for _ in range(SAMPLES)]
        hits, misses = median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)
        if abs(hits - misses) <= max(ALWAYS_FINE, TOLERANCE * hits):
            return False
    return True


async def test_a_wrong_password_takes_as_long_as_an_unknown_person(stranger: httpx.AsyncClient) -> None:
    def login(email: str) -> Ask:
        return lambda: stranger.post("/api/v1/auth/login", json={"email": email, "password": "a wrong password"})

    assert not await differ(login(KNOWN), login("nobody@example.org"))


async def test_a_new_password_is_asked_for_as_quickly_by_a_stranger(stranger: httpx.AsyncClient) -> None:
    def forgot(email: str) -> Ask:
        return lambda: stranger.post("/api/v1/auth/password/forgot", json={"email": email})

    assert not await differ(forgot(KNOWN), forgot("nobody@example.org"))


async def test_a_revoked_key_is_refused_as_quickly_as_one_that_never_was(
    here: Installation, stranger: httpx.AsyncClient
) -> None:
    async with here.browser() as alice:
        await alice.post("/api/v1/auth/login", json={"email": KNOWN, "password": PASSWORD})
        made = (await alice.post("/api/v1/auth/api-keys", json={"name": "x"})).json()
        assert (await alice.delete(f"/api/v1/auth/api-keys/{made['id']}")).status_code == 204

    def present(key: Callable[[], str]) -> Ask:
        return lambda: stranger.get("/api/v1/account", headers={"Authorization": f"Bearer {key()}"})

    assert not await differ(present(lambda: made["key"]), present(lambda: secrets.account_key("live")))


async def test_a_link_that_was_used_is_refused_as_quickly_as_a_made_up_one(stranger: httpx.AsyncClient) -> None:
    used = secrets.one_time_token()

    def reset(token: Callable[[], str]) -> Ask:
        body = {"password": "a completely new one"}
        return lambda: stranger.post("/api/v1/auth/password/reset", json={**body, "token": token()})

    assert not await differ(reset(lambda: used), reset(lambda: uuid4().hex))
