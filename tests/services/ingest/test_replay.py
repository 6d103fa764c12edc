"""Fault test 35: the read models, dropped and built again from the truth, are what they were."""

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from libs.contracts.ingest import partition_of
from services.ingest.deletion import Deletion
from services.ingest.replay import replay
from services.ingest.retention import Retention
from services.ingest.scrub import Scrub
from tests.eventually import eventually
from tests.servers import Servers
from tests.services.ingest.stage import NOON, Stage, source
from tests.services.ingest.stage import stage as open_stage

MINUTE = 60_000_000
HASH = b"sixteen bytes id"


async def everything(stage: Stage) -> list[Any]:
    """Read models as values that can be compared; rows of `points` may be cut differently, their contents may not."""
    return [
        await stage.rows("select id, account, name, kind, unit, pinned, created_at from ingest.stats order by id"),
        await stage.rows("select stat, name, deleted_at from ingest.tombstones order by stat"),
        await stage.rows("select * from ingest.minutes order by stat, bucket"),
        await stage.rows("select * from ingest.hours order by stat, bucket"),
        await stage.rows("select stat, sum(n) from ingest.points group by stat order by stat"),
    ]


async def test_a_replay_gives_equal_read_models(stage: Stage) -> None:
    account, other = uuid4(), uuid4()
    stat = await stage.application.create(account, "live", "known", "gauge", "test")
    await stage.application.describe(account, "live", "known", {"unit": "ms", "pinned": True}, "test")
    for i in range(20):
        await stage.send(source("known", account, stat.id, kind="gauge"), [(NOON + i * MINUTE, i / 4), (NOON, 1.0)])
        await stage.send(source("new", other), [(NOON + i * MINUTE * 7, 1.0)])
    for _ in range(2):
        await stage.send(source("once", other), [(NOON, 1.0), (NOON, 1.0)], items=[HASH, b""])
    await stage.send(source("gone", other), [(NOON, 1.0)])
    await stage.written()
    await stage.application.delete(other, "live", "gone", "test")
    await stage.send(source("gone", other), [(NOON, 2.0)])
    await stage.written()
    await Deletion(stage.process.database).remove_rows()
    before = await everything(stage)
    assert await stage.totals(other) == {"new": (20, 20.0), "once": (3, 3.0), "gone": (1, 2.0)}

    done = await replay(stage.process)

    assert await everything(stage) == before
    assert (done.stats, done.deleted, done.points, done.orphans) == (4, 1, 65, 0)
    await stage.send(source("new", other), [(NOON, 1.0)])
    await stage.written()
    assert (await stage.totals(other))["new"] == (21, 21.0)


async def test_a_replay_heals_read_models_that_were_lost(stage: Stage) -> None:
    account = uuid4()
    await stage.send(source("one", account), [(NOON, 1.0), (NOON + MINUTE, 2.0)])
    await stage.written()
    before = await everything(stage)
    await stage.rows("with gone as (delete from ingest.hours returning 1) select count(*) from gone")
    await replay(stage.process)
    assert await everything(stage) == before


async def test_partitions_are_replayed_and_scrubbed_alike(own_servers: Servers, tmp_path: Path) -> None:
    async with open_stage(own_servers, tmp_path, partitions=3) as stage:
        accounts = [UUID(int=number) for number in range(12)]
        assert {partition_of(account, 3) for account in accounts} == {0, 1, 2}
        for account in accounts:
            await stage.send(source("x", account), [(NOON + i * MINUTE, 1.0) for i in range(5)])
            await stage.send(source("gone", account), [(NOON, 1.0)])
        await stage.written()
        for account in accounts:
            await stage.application.delete(account, "live", "gone", "test")
        await Deletion(stage.process.database).remove_rows()
        before = await everything(stage)
        scrub = Scrub(stage.process.database, Retention(stage.process.bus, 3), 3)

        async def nothing_waits() -> bool:
            return (await scrub.once()).waiting == 0

        await eventually(nothing_waits)
        done = await replay(stage.process)
        assert await everything(stage) == before
        assert (done.stats, done.deleted, done.points) == (12, 12, 60)
