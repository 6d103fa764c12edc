"""Fault 14: the machine's clock is an hour off, or is set back: no crash, nothing counted twice, nobody locked out."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from libs.eventstore.migrate import migrate
from libs.runtime import process as processes
from libs.runtime.clock import SystemClock
from libs.runtime.process import open_process
from libs.runtime.tasks import background_tasks
from services.accounts.service import service as accounts
from services.ingest.service import service as ingest
from tests.cast import PASSWORD
from tests.eventually import eventually
from tests.libs.databases import fresh_database
from tests.servers import Servers
from tests.services.accounts.installation import settings_for

pytestmark = pytest.mark.fault

HOUR = 3600.0
DAY = 86_400.0


class SetClock(SystemClock):
    """A clock that somebody sets. What must not be set back is not."""

    off = 0.0

    def now(self) -> float:
        return super().now() + self.off


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    clock = SetClock()
    monkeypatch.setattr(processes, "SystemClock", lambda: clock)
    return clock


class Client:
    """A sender and reader of one account."""

    def __init__(self, accounts: httpx.AsyncClient, ingest: httpx.AsyncClient, key: str) -> None:
        self.accounts = accounts
        self.ingest = ingest
        self.key = key

    async def send(self, name: str, **fields: str) -> httpx.Response:
        return await self.ingest.post("/ez", data={"ezkey": self.key, "stat": name, **fields})

    async def total(self, name: str) -> float:
        asked = {"from": "2020-01-01", "to": "2100-01-01", "resolution": "1d"}
        headers = {"Authorization": f"Bearer {self.key}"}
        answer = await self.ingest.get(f"/api/v1/stats/{name}", params=asked, headers=headers)
        return float(answer.json()["summary"]["total"]) if answer.status_code == 200 else 0.0


def browser(app: object) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, client=("192.0.2.1", 1))  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://localhost:8000")


@pytest.fixture
async def client(servers: Servers, clock: SetClock, tmp_path: Path) -> AsyncIterator[Client]:
    """Accounts and ingest, HTTP and work, all of whose processes have that clock."""
    async with AsyncExitStack() as stack:
        dsn = stack.enter_context(fresh_database(servers.database_url))
        services = (accounts, ingest)
        migrate(dsn, [(service.name, service.schema) for service in services])
        settings = settings_for(servers, dsn, data=tmp_path, stream_bytes=64 << 20)
        process = await stack.enter_async_context(open_process(settings, "http", "http-1"))
        worker = await stack.enter_async_context(open_process(settings, "work", "work-1"))
        process.tasks = worker.tasks = await stack.enter_async_context(background_tasks())
        await process.bus.wait(5)
        await worker.bus.wait(5)
        sides = []
        for service in services:
            assert service.http is not None
            assert service.work is not None
            await stack.enter_async_context(service.work(worker))
            sides.append(await stack.enter_async_context(service.http(process)))
        first, second = [await stack.enter_async_context(browser(side.app)) for side in sides]
        person = {"email": "alice@example.org", "password": PASSWORD}
        assert (await first.post("/api/v1/auth/signup", json=person)).status_code == 201
        key = (await first.post("/api/v1/auth/api-keys", json={"name": "x"})).json()["key"]
        yield Client(first, second, key)


async def test_a_clock_that_is_set_loses_and_doubles_nothing(client: Client, clock: SetClock) -> None:
    """Forward, far back, and to and fro, while points come in and an id is used again."""
    for i, off in enumerate((0, HOUR, -HOUR, -3 * HOUR, HOUR, 0)):
        clock.off = off
        answer = await client.send("steps", count=str(4**i))
        assert answer.status_code == 200, (off, answer.text)
        row = {"ezkey": client.key, "data": [{"stat": "once", "count": 1, "id": "the same"}]}
        assert (await client.ingest.post("/ez", json=row)).status_code == 200

    async def all_there() -> bool:
        return await client.total("steps") >= sum(4**i for i in range(6))

    await eventually(all_there, within=10)
    assert await client.total("steps") == sum(4**i for i in range(6))
    assert await client.total("once") == 1


@pytest.mark.parametrize("off", [0.0, HOUR, -HOUR])
async def test_a_day_ahead_is_counted_from_the_clock_as_it_is(client: Client, clock: SetClock, off: float) -> None:
    clock.off = off
    assert (await client.send("ahead", t=f"{clock.now() + DAY - 60:.0f}")).status_code == 200
    assert (await client.send("ahead", t=f"{clock.now() + DAY + 60:.0f}")).status_code == 400
    assert (await client.send("past", t="0")).status_code == 200


async def test_who_is_signed_in_stays_so_over_an_hour_either_way(client: Client, clock: SetClock) -> None:
    for off in (HOUR, -HOUR, 0.0):
        clock.off = off
        assert (await client.accounts.get("/api/v1/auth/me")).status_code == 200
        assert (await client.send("signed in")).status_code == 200
