"""Faults 35 and 37: read models built again from the truth; a stat deleted while its points are on their way."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.eventually import eventually, until
from tests.faults.accounting import loading, settle
from tests.running import Ezstat, Person

pytestmark = pytest.mark.fault


@pytest.fixture(scope="module")
def person(ezstat: Ezstat) -> Person:
    return ezstat.sign_up()


def hours(api: httpx.Client) -> list[Any]:
    """Every stat with its hours."""
    names = [stat["name"] for stat in api.get("/api/v1/stats").json()["stats"]]
    params = {"range": "24h", "resolution": "1h"}
    return [api.get(f"/api/v1/stats/{name}", params=params).json()["points"] for name in names]


async def test_a_rebuild_under_load_gives_equal_totals(ezstat: Ezstat, person: Person) -> None:
    key = person.key()
    async with loading(ezstat.url, key, "rebuild") as account:
        await eventually(lambda: account.statuses[200] > 50, within=20)
        text = await asyncio.to_thread(ezstat.command, "replay", "ingest")
        await eventually(lambda: account.statuses[200] > 100, within=20)
    assert "rebuilt" in text
    await settle(ezstat.url, key, "rebuild", account, within=30)


def test_a_rebuild_changes_nothing(ezstat: Ezstat, person: Person) -> None:
    api = person.api()
    api.post("/api/v1/batch", json=[{"stat": f"s{i % 7}", "value": i / 3} for i in range(500)]).raise_for_status()
    until(lambda: sum(point["n"] for stat in hours(api) for point in stat if "n" in point) == 500, within=10)
    before = hours(api)
    ezstat.command("replay", "ingest")
    assert hours(api) == before


async def test_a_stat_deleted_under_load_stays_deleted(ezstat: Ezstat, person: Person) -> None:
    """Points received before the delete are gone for good, those received after it make a new stat."""
    headers = {"Authorization": f"Bearer {person.key()}"}
    async with httpx.AsyncClient(base_url=ezstat.url, headers=headers, timeout=30) as client:

        async def send(start: int, n: int) -> None:
            answers = await asyncio.gather(
                *(client.post("/v1/stat", json={"stat": "doomed", "count": 1}) for _ in range(start, start + n))
            )
            assert {answer.status_code for answer in answers} == {200}

        await send(0, 100)
        before = asyncio.create_task(send(100, 50))
        answer = await client.delete("/api/v1/stats/doomed")
        assert answer.status_code in (204, 404)
        await before
        if answer.status_code == 404:
            await client.delete("/api/v1/stats/doomed")
        await asyncio.to_thread(ezstat.command, "scrub")

        async def total() -> float:
            found = await client.get("/api/v1/stats/doomed", params={"range": "1h"})
            return float(found.json()["summary"]["total"]) if found.status_code == 200 else 0.0

        left = await total()
        assert left <= 50
        await send(150, 20)

        async def counted() -> bool:
            return await total() >= left + 20

        await eventually(counted, within=10)
        await asyncio.to_thread(ezstat.command, "replay", "ingest")
        assert await total() <= 70
