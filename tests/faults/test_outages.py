"""Faults 3, 4, 6 and 7: servers that stay away for a while, under an accounting load. They are ours, not the
supervisor's, so that nobody starts them again before we do."""

import asyncio
import json
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.eventually import eventually
from tests.faults.accounting import loading, settle
from tests.faults.long import LONG
from tests.running import Ezstat, running
from tests.servers import Servers, real_servers

pytestmark = pytest.mark.fault

AWAY = 20 if LONG else 1.5


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with real_servers(tmp_path_factory.mktemp("own")) as started:
        yield started


def environment(own: Servers, **more: str) -> dict[str, str]:
    return {
        "DATABASE_URL": own.database_url, "NATS_URL": own.nats_url, "REDIS_URL": own.redis_url,
        "EZSTAT_RATE_LIMITS": "off", **more,
    }  # fmt: skip


@pytest.fixture(scope="module")
def house(own: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ezstat]:
    with running(tmp_path_factory.mktemp("outages") / "data", **environment(own)) as started:
        yield started


@pytest.fixture(scope="module")
def key(house: Ezstat) -> str:
    return house.sign_up().key()


async def test_while_nats_is_down_the_spool_takes_points(house: Ezstat, own: Servers, key: str) -> None:
    async with loading(house.url, key, "nats-down") as account:
        await eventually(lambda: account.statuses[200] > 50, within=20)
        await asyncio.to_thread(own.nats.kill)
        await asyncio.sleep(AWAY)
        await asyncio.to_thread(own.nats.start)
    assert set(account.statuses) == {200}
    assert not LONG or account.p99() < 0.5  # seconds; in the short form a busy machine shows more than the spool
    await settle(house.url, key, "nats-down", account, within=10 if LONG else 20)
    await eventually(lambda: not list(house.folder.glob("spool/*/*.frames")), within=10)


async def test_while_postgres_is_down_points_are_taken_and_reads_say_503(house: Ezstat, own: Servers, key: str) -> None:
    async with loading(house.url, key, "postgres-down") as account, httpx.AsyncClient(base_url=house.url) as reader:
        await eventually(lambda: account.statuses[200] > 50, within=20)
        await asyncio.to_thread(own.postgres.kill)
        await asyncio.sleep(AWAY / 2)
        answer = await reader.get("/api/v1/stats", headers={"Authorization": f"Bearer {key}"}, timeout=10)
        await asyncio.sleep(AWAY / 2)
        await asyncio.to_thread(own.postgres.start)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert set(account.statuses) == {200}
    await settle(house.url, key, "postgres-down", account, within=30)


def test_the_stream_is_fsynced_before_it_acknowledges(own: Servers) -> None:
    configuration = Path(own.nats.child.argv[-1]).read_text()
    monitor = configuration.split('http: "')[1].split('"')[0]
    with urllib.request.urlopen(f"http://{monitor}/jsz") as answer:
        told = json.load(answer)
    assert told["config"]["sync_always"] is True


async def test_without_a_spool_it_says_503_and_keeps_nothing(
    own: Servers, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("spoolless") / "data"
    with running(folder, **environment(own, EZSTAT_SPOOL="off")) as spoolless:
        person = await asyncio.to_thread(spoolless.sign_up)
        key = await asyncio.to_thread(person.key)
        async with httpx.AsyncClient(base_url=spoolless.url, timeout=10) as client:
            assert (await client.post("/ez", data={"ezkey": key, "stat": "kept"})).status_code == 200
            await asyncio.to_thread(own.nats.kill, signal.SIGKILL)
            try:
                refused = await client.post("/ez", data={"ezkey": key, "stat": "kept"})
            finally:
                await asyncio.to_thread(own.nats.start)
            assert (refused.status_code, refused.json()["status"]) == (503, 503)
            assert int(refused.headers["retry-after"]) >= 1

            async def one() -> bool:
                answer = await client.get("/api/v1/stats/kept", headers={"Authorization": f"Bearer {key}"})
                return answer.status_code == 200 and answer.json()["summary"]["total"] == 1

            await eventually(one, within=10)
