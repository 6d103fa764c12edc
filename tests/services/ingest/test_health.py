"""Health says what is down, and whether points are taken all the same."""

import asyncio
from dataclasses import replace

import httpx

from libs.bus.connect import Bus
from services.ingest.health import Health
from services.ingest.spool import Spool
from tests.running import Ezstat
from tests.services.ingest.stage import NOON, Stage, source


def test_a_calm_installation_is_well(ezstat: Ezstat) -> None:
    answer = httpx.get(f"{ezstat.url}/api/v1/health")
    assert answer.status_code == 200
    parts = answer.json()["services"]
    assert set(parts) == {"postgres", "nats", "redis", "spool", "writer"}
    assert {part: parts[part]["status"] for part in ("postgres", "nats", "redis")} == {
        "postgres": "ok", "nats": "ok", "redis": "ok",
    }  # fmt: skip


async def test_a_postgres_that_does_not_answer_is_told_as_down_and_points_are_taken(stage: Stage) -> None:
    spool = Spool(stage.settings.data / "spool", "test", 1 << 20)
    with stage.process.database.connect() as blocking:
        blocking.execute("lock table ingest.positions in access exclusive mode")
        async with asyncio.timeout(4):
            report = await Health(stage.process, spool).report()
    assert (report.status, report.accepting) == ("degraded", True)
    assert {name: report.parts[name]["status"] for name in ("postgres", "nats")} == {"postgres": "down", "nats": "ok"}


async def test_nats_away_is_degraded_with_a_spool_and_unavailable_without(stage: Stage) -> None:
    await stage.send(source("one"), [(NOON, 1.0)])
    await stage.written()
    spool = Spool(stage.settings.data / "spool", "test", 1 << 20)
    well = await Health(stage.process, spool).report()
    assert (well.status, well.accepting) == ("ok", True), well.parts
    assert well.parts["writer"]["lag"] == 0
    alone = replace(stage.process, bus=Bus("nats://127.0.0.1:1", "nobody there"))
    degraded = await Health(alone, spool).report()
    assert (degraded.status, degraded.accepting, degraded.parts["nats"]) == ("degraded", True, {"status": "down"})
    spool.bytes = spool.limit
    full = await Health(alone, spool).report()
    assert (full.status, full.accepting, full.parts["spool"]["status"]) == ("unavailable", False, "full")
    off = await Health(alone, Spool(stage.settings.data / "spool", "test", 0)).report()
    assert not off.accepting
