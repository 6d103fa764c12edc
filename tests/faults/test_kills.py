"""Faults 1, 2, 3, 5, 7, 8, 9 and 34: real processes killed, frozen and restarted under an accounting load."""

import asyncio
import random
import signal
from collections.abc import Iterator

import psycopg
import pytest

from tests.eventually import eventually
from tests.faults.accounting import loading, settle
from tests.faults.long import LONG
from tests.running import Ezstat, Person, running

pytestmark = pytest.mark.fault


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ezstat]:
    """An installation that these tests may break."""
    with running(
        tmp_path_factory.mktemp("faults") / "data", EZSTAT_HTTP_WORKERS="2", EZSTAT_RATE_LIMITS="off"
    ) as started:
        yield started


@pytest.fixture(scope="module")
def person(house: Ezstat) -> Person:
    return house.sign_up()


@pytest.fixture
def key(person: Person) -> str:
    return person.key()


async def test_a_calm_load_is_exact(house: Ezstat, key: str) -> None:
    async with loading(house.url, key, "calm") as account:
        await eventually(lambda: account.statuses[200] > 200, within=20)
    assert set(account.statuses) == {200}
    await settle(house.url, key, "calm", account, within=10)


@pytest.mark.parametrize("name", ["work-1", "http-1", "http-2", "nats", "postgres", "redis"])
async def test_killing_any_component_loses_and_doubles_nothing(house: Ezstat, key: str, name: str) -> None:
    async with loading(house.url, key, f"kill-{name}") as account:
        for _ in range(3 if LONG else 1):
            await eventually(lambda: account.statuses[200] > 20, within=20)
            await asyncio.to_thread(house.kill, name)
            await asyncio.sleep(1)
    await settle(house.url, key, f"kill-{name}", account)


async def test_random_kills_lose_and_double_nothing(house: Ezstat, key: str) -> None:
    chosen = random.Random(1)
    names = ["work-1", "http-1", "http-2", "nats", "postgres", "redis"]
    async with loading(house.url, key, "random") as account:
        for _ in range(20 if LONG else 3):
            await asyncio.to_thread(house.kill, chosen.choice(names))
            await asyncio.sleep(chosen.uniform(0.2, 1.0))
    await settle(house.url, key, "random", account)


async def test_without_postgres_points_are_taken_and_reads_say_503(house: Ezstat, key: str) -> None:
    async with loading(house.url, key, "no-postgres") as account:
        await eventually(lambda: account.statuses[200] > 20, within=20)
        await asyncio.to_thread(house.kill, "postgres", signal.SIGSTOP)
        await asyncio.sleep(10 if LONG else 1.5)
        await asyncio.to_thread(house.kill, "postgres", signal.SIGCONT)
    assert set(account.statuses) == {200}
    await settle(house.url, key, "no-postgres", account)


async def test_a_frozen_nats_loses_and_doubles_nothing(house: Ezstat, key: str) -> None:
    async with loading(house.url, key, "frozen") as account:
        await eventually(lambda: account.statuses[200] > 20, within=20)
        await asyncio.to_thread(house.kill, "nats", signal.SIGSTOP)
        await asyncio.sleep(4 if LONG else 1)
        await asyncio.to_thread(house.kill, "nats", signal.SIGCONT)
        await asyncio.sleep(0.3)
    await settle(house.url, key, "frozen", account)


async def test_a_locked_table_holds_up_the_writer_but_not_the_senders(house: Ezstat, key: str) -> None:
    async with loading(house.url, key, "locked") as account:
        with psycopg.connect(house.urls["postgres"]) as connection:
            connection.execute("lock table ingest.minutes in access exclusive mode")
            await asyncio.sleep(10 if LONG else 1)
    assert set(account.statuses) == {200}
    await settle(house.url, key, "locked", account)


async def test_a_frozen_redis_slows_nobody_down(house: Ezstat, key: str) -> None:
    async with loading(house.url, key, "no-redis") as account:
        await eventually(lambda: account.statuses[200] > 20, within=20)
        await asyncio.to_thread(house.kill, "redis", signal.SIGSTOP)
        await asyncio.sleep(3 if LONG else 1)
        await asyncio.to_thread(house.kill, "redis", signal.SIGCONT)
    assert set(account.statuses) == {200}
    await settle(house.url, key, "no-redis", account)


async def test_a_rolling_restart_refuses_nobody(house: Ezstat, key: str) -> None:
    async with loading(house.url, key, "rolling") as account:
        for name in ("http-1", "http-2"):
            await asyncio.sleep(0.5)
            await asyncio.to_thread(house.kill, name, signal.SIGTERM)
            await asyncio.sleep(2)
    assert set(account.statuses) == {200}
    await settle(house.url, key, "rolling", account)
