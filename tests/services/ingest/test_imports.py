"""Exports come back as what they were; imports survive crashes and repetitions."""

import asyncio
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import pytest

from libs.contracts.ingest import decode_frame
from libs.runtime.clock import uuid7
from services.ingest.export import Export, Wanted
from services.ingest.export_formats import FORMATS
from services.ingest.imports import formats
from services.ingest.imports.folder import Folder
from services.ingest.imports.formats import FormatName
from services.ingest.imports.jobs import Job, Jobs, NewFile
from services.ingest.imports.worker import Importer
from tests.eventually import eventually
from tests.services.ingest.stage import NOON, Stage, source

MINUTE = 60_000_000
NAMES = ["signups", "=1+1", "'quoted", 'a,b;"c"', "größe/Ω", "-5", "@home", "＝wide", "tab\u00a0in"]


@asynccontextmanager
async def importing(stage: Stage, held_for: float = 10) -> AsyncIterator[Importer]:
    process = stage.process
    importer = Importer(
        stage.application,
        Jobs(process.database),
        Folder(stage.settings.data),
        stage.publisher,
        process.clock,
        1,
        held_for,
    )
    task = asyncio.create_task(importer.run())
    yield importer
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def upload(stage: Stage, account: UUID, content: bytes, format_: FormatName | None = None) -> Job:
    folder = Folder(stage.settings.data)
    folder.make()
    job = uuid7()
    folder.file(job).write_bytes(content)
    found = format_ or formats.detect(folder.file(job))
    file = NewFile("file", found, len(content), sha256(content).digest())
    made, _ = await Jobs(stage.process.database).add(
        job, account, "live", "test", uuid4(), file, stage.process.clock.now()
    )
    return made


async def ended(stage: Stage, job: Job) -> Job:
    async def over() -> bool:
        return (await Jobs(stage.process.database).get(job.account, job.mode, job.id)).ended

    await eventually(over, within=15)
    await stage.written()
    return await Jobs(stage.process.database).get(job.account, job.mode, job.id)


async def exported(stage: Stage, account: UUID, format_: str, **wanted: Any) -> bytes:
    written = FORMATS[format_]()
    chunks = Export(stage.process.database, 1).chunks(Wanted(account, "live", **wanted))
    head = written.head(stage.process.clock.now())
    return b"".join([head, *[written.chunk(chunk) async for chunk in chunks], written.tail()])


async def contents(stage: Stage, account: UUID) -> dict[str, Any]:
    """Name -> (type, unit, sorted points)."""
    found: dict[str, Any] = {}
    async for chunk in Export(stage.process.database, 1).chunks(Wanted(account, "live")):
        stat = chunk.stat
        kept = found.setdefault(stat.name, (stat.kind, stat.unit, stat.pinned, []))
        kept[3].extend(zip(chunk.times.tolist(), chunk.values.tolist(), strict=True))
        kept[3].sort()
    return found


async def some_stats(stage: Stage, account: UUID) -> None:
    for i, name in enumerate(NAMES):
        kind = "gauge" if i % 2 else "counter"
        await stage.application.create(account, "live", name, kind, "test")
        at = [(NOON + j * MINUTE + j, j / 3 if i % 2 else float(j)) for j in range(30)]
        await stage.send(source(name, account, kind=kind), [*at, (-1, -0.5), (-60_000_000_000_000_001, 1e300)])
    many = [(NOON + j * 1000, float(j)) for j in range(25_000)]
    for start in range(0, len(many), 5_000):
        await stage.send(source("many", account), many[start : start + 5_000])
    await stage.application.describe(account, "live", "signups", {"unit": "€", "pinned": True}, "test")
    await stage.written()


@pytest.mark.parametrize("format_", ["json", "ndjson", "csv"])
async def test_an_export_imported_elsewhere_gives_the_same_stats_and_points(stage: Stage, format_: str) -> None:
    account, other = uuid4(), uuid4()
    await some_stats(stage, account)
    if format_ != "csv":
        await stage.application.create(account, "live", "empty", "gauge", "test")
    file = await exported(stage, account, format_)
    async with importing(stage):
        job = await ended(stage, await upload(stage, other, file))
    assert (job.state, job.bad, job.errors, job.format) == ("done", 0, [], format_)
    assert job.points == 25_000 + 32 * len(NAMES)
    before, after = await contents(stage, account), await contents(stage, other)
    if format_ == "csv":  # which has no room for what people say about a stat
        before["signups"] = ("counter", "", False, before["signups"][3])
    assert after == before
    assert not Folder(stage.settings.data).file(job.id).exists()


async def test_imported_points_travel_flagged(stage: Stage) -> None:
    account = uuid4()
    async with importing(stage):
        await ended(stage, await upload(stage, account, b"stat,type,t,value\nx,counter,1772323200,2\n"))
    ((body,),) = await stage.rows("select body from ingest.frames")
    assert decode_frame(body).imported


async def test_a_spreadsheet_is_told_no_formula(stage: Stage) -> None:
    account = uuid4()
    await stage.send(source("=cmd|' /C calc'!A0", account), [(NOON, 1.0)])
    await stage.written()
    assert (await exported(stage, account, "csv")).split(b"\r\n")[1].startswith(b"'=cmd")


async def test_an_export_of_a_range_holds_its_points_only(stage: Stage) -> None:
    account = uuid4()
    await stage.send(source("x", account), [(NOON + i * MINUTE, float(i)) for i in range(10)])
    await stage.send(source("y", account), [(NOON, 1.0)])
    await stage.written()
    start = NOON / 1e6
    file = await exported(stage, account, "csv", names=["x"], start=start + 120, end=start + 240)
    assert [line.split(b",")[-1] for line in file.splitlines()[1:]] == [b"2", b"3"]


async def test_the_same_file_is_imported_once(stage: Stage) -> None:
    account, file = uuid4(), b"stat,type,t,value\nx,counter,1772323200,2\n"
    async with importing(stage):
        first = await ended(stage, await upload(stage, account, file))
        second = await ended(stage, await upload(stage, account, file))
        assert second.id == first.id
        elsewhere = await ended(stage, await upload(stage, uuid4(), file))
        assert elsewhere.id != first.id
    assert await stage.totals(account) == {"x": (1, 2.0)}


async def test_a_type_that_clashes_is_an_error_of_its_row(stage: Stage) -> None:
    account = uuid4()
    await stage.application.create(account, "live", "there", "gauge", "test")
    file = b"stat,type,t,value\nthere,counter,1,1\nnew,counter,1,1\nnew,gauge,1,1\nthere,gauge,1,5\n"
    async with importing(stage):
        job = await ended(stage, await upload(stage, account, file))
    assert [(error.row, error.reason) for error in job.errors] == [
        (2, "this stat is a gauge"),
        (4, "this stat is a counter"),
    ]
    assert (job.state, job.rows, job.points, job.bad) == ("done", 4, 2, 2)
    assert await stage.totals(account) == {"new": (1, 1.0), "there": (1, 5.0)}


async def test_a_worker_that_dies_loses_and_doubles_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """It dies after a frame is stored and before anybody could note so."""
    account = uuid4()
    file = b"stat,type,t,value\n" + b"".join(b"x,counter,%d,1\n" % (1_772_323_200 + i) for i in range(23_000))
    job = await upload(stage, account, file)
    progress, died = Jobs.progress, asyncio.Event()

    async def dying(*args: Any) -> bool:
        if args[3].chunk < 3:
            return await progress(*args)
        died.set()
        return bool(await asyncio.Event().wait())

    monkeypatch.setattr(Jobs, "progress", dying)
    async with importing(stage, held_for=0.3):
        await asyncio.wait_for(died.wait(), 10)
    monkeypatch.setattr(Jobs, "progress", progress)
    assert (await Jobs(stage.process.database).get(account, "live", job.id)).chunk == 2
    async with importing(stage):
        done = await ended(stage, job)
    assert (done.state, done.rows, done.points) == ("done", 23_000, 23_000)
    assert await stage.totals(account) == {"x": (23_000, 23_000.0)}


async def test_a_cancelled_import_stops_and_can_be_sent_again(stage: Stage) -> None:
    account = uuid4()
    file = b"stat,type,t,value\n" + b"".join(b"x,counter,%d,1\n" % (1_772_323_200 + i) for i in range(12_000))
    jobs = Jobs(stage.process.database)
    job = await upload(stage, account, file)
    assert (await jobs.cancel(account, "live", job.id)).state == "cancelled"
    async with importing(stage):
        again = await ended(stage, await upload(stage, account, file))
    assert again.id == job.id
    assert again.state in ("done", "failed")


async def test_an_unreadable_file_fails_with_its_reason(stage: Stage) -> None:
    async with importing(stage):
        job = await ended(stage, await upload(stage, uuid4(), b'[{"stat":"x","count":1,"t":1},'))
    assert job.state == "failed"
    assert "not valid JSON" in job.reason


async def test_rows_that_end_at_the_same_moment_are_exported_once_each(stage: Stage) -> None:
    account = uuid4()
    stat = await stage.application.create(account, "live", "x", "counter", "test")
    body = NOON.to_bytes(8, "little") + array("d", [1.0]).tobytes()
    await stage.rows(
        "insert into ingest.points (partition, stat, first_at, last_at, account, n, body)"
        " select 0, %s, at, at, %s, 1, %s from generate_series(1, 1100), to_timestamp(%s) at returning n",
        stat.id, account, body, NOON / 1e6,
    )  # fmt: skip
    sizes = [len(chunk.times) async for chunk in Export(stage.process.database, 1).chunks(Wanted(account, "live"))]
    assert sum(sizes) == 1100


async def test_memory_of_an_export_stays_bounded_by_pages(stage: Stage) -> None:
    account = uuid4()
    for i in range(30):
        await stage.send(source("x", account), [(NOON + i * 5000 + j, 1.0) for j in range(5_000)])
    await stage.written()
    sizes = [len(chunk.times) async for chunk in Export(stage.process.database, 1).chunks(Wanted(account, "live"))]
    assert sum(sizes) == 150_000
    assert max(sizes) <= 10_000
    assert array("q", sizes)
