"""What ingest is made of: the only wiring place."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from libs.bus.data import DataFollower
from libs.bus.errors import BusUnavailable, StreamRefused
from libs.bus.follower import Follower
from libs.bus.publish import FramePublisher
from libs.bus.relay import Relay
from libs.bus.streams import ensure_advisories, ensure_events, ensure_parked, ensure_points, keep
from libs.contracts.accounts import AccountClosed
from libs.contracts.ingest import SERIES, STATS_FORGOTTEN, SeriesAsked, StatsForgotten, decode_frame, points_subject
from libs.eventstore.store import EventStore
from libs.http.app import make_app
from libs.http.bodies import BodyRule
from libs.runtime.clock import uuid7
from libs.runtime.process import Process
from libs.runtime.service import HttpSide, Route, Service
from services.ingest import replay
from services.ingest import scrub as scrubbing
from services.ingest.api import exporting, health, importing, live, public, sending, stathat, stats
from services.ingest.application import Application
from services.ingest.catalog import Catalog
from services.ingest.closures import Closures
from services.ingest.deletion import Deletion
from services.ingest.export import Export
from services.ingest.groups import GroupCommit, Producer
from services.ingest.health import Health
from services.ingest.history import History
from services.ingest.hot import BATCH_LIMIT, HotSenders
from services.ingest.imports.folder import Folder
from services.ingest.imports.jobs import Jobs
from services.ingest.imports.worker import Importer
from services.ingest.intake import Intake
from services.ingest.live import Live
from services.ingest.metrics import IntakeMetrics, WriterMetrics
from services.ingest.projections import projection
from services.ingest.public.expiry import Expiry
from services.ingest.public.intake import PublicIntake
from services.ingest.public.names import Names
from services.ingest.publish import publish
from services.ingest.reactions import note_closure
from services.ingest.reading import Reading
from services.ingest.retention import Retention
from services.ingest.schema import schema
from services.ingest.scrub import Scrub
from services.ingest.senders import Senders
from services.ingest.spool import Spool
from services.ingest.stathat import StatHat
from services.ingest.writer import Writer

_RESEND_AFTER = 0.25
_IDLE_UPLOAD = 30.0


@asynccontextmanager
async def http(process: Process) -> AsyncIterator[HttpSide]:
    """The write path of points and everything that reads them."""
    settings, clock = process.settings, process.clock
    assert process.ring is not None
    spool = Spool(settings.data / "spool", str(uuid7()), settings.spool_bytes if settings.spool else 0)
    spool.open()
    publisher = FramePublisher(process.bus)
    commits = [GroupCommit(i, Producer(uuid7()), publisher, spool, clock) for i in range(settings.partitions)]
    store = EventStore("ingest", process.settings.database_url, projection(settings.partitions))
    application = Application(store, process.database, process.bus, settings.partitions)
    catalog = Catalog(application, commits, clock)
    intake = Intake(process.ring, catalog, clock)
    senders = Senders(intake)
    reading = Reading(process.database, clock, settings.partitions)
    tracking = PublicIntake(catalog, process.database, process.limiter, clock, settings.public_rate)

    async def forget(message: StatsForgotten) -> None:
        catalog.forget(message.stats)

    await process.bus.listen(STATS_FORGOTTEN, StatsForgotten, forget)

    ensured = asyncio.Event()

    async def ensure() -> None:
        await ensure_points(process.bus, settings)
        ensured.set()

    streams = keep(process.bus, ensure)
    draining = asyncio.create_task(spool.drain(partial(_resend, publisher)))
    routers = [
        sending.router(senders, intake),
        stats.router(application, reading),
        exporting.router(Export(process.database, settings.partitions), clock),
        importing.router(
            Jobs(process.database), Folder(settings.data), clock, process.stopping, settings.import_bytes
        ),
        live.router(Live(process.bus), process.stopping, clock),
        public.router(tracking, Names(process.database), reading, clock),
        stathat.router(StatHat(process.database, clock, settings.partitions), application),
        health.router(Health(process, spool)),
    ]  # fmt: skip
    bodies = {
        "/api/v1/batch": BodyRule(limit=BATCH_LIMIT),
        "/api/v1/import": BodyRule(limit=settings.import_bytes, seconds=_IDLE_UPLOAD, stream=True),
    }
    app = make_app("ingest", process, routers, bodies=bodies, ready=ensured.is_set)
    process.metrics.register(IntakeMetrics(commits, spool))
    hot = HotSenders(senders, clock).routes() if settings.hot_path else {}
    try:
        yield HttpSide(app, hot)
        await intake.settled()
        for commit in commits:
            await commit.settled()
    finally:
        streams.cancel()
        draining.cancel()
        await publisher.close()
        await spool.close()
        await store.close()


async def _resend(publisher: FramePublisher, partition: int, body: bytes) -> None:
    """Send a spooled frame under the frame id it always had, however long that takes."""
    frame = decode_frame(body)
    while True:
        try:
            await publisher.publish(points_subject(partition), f"{frame.epoch}:{frame.seq}", body)
        except (BusUnavailable, StreamRefused):
            await asyncio.sleep(_RESEND_AFTER)
        else:
            return


@asynccontextmanager
async def work(process: Process) -> AsyncIterator[None]:
    """The relay of our events, one writer per partition, what deletes, and what imports."""
    settings = process.settings
    store = EventStore("ingest", settings.database_url, projection(settings.partitions), role="ezstat_worker")

    async def ensure() -> None:
        await ensure_points(process.bus, settings)
        await ensure_events(process.bus, "ingest")
        await ensure_parked(process.bus)
        await ensure_advisories(process.bus)

    streams = keep(process.bus, ensure)
    publisher = FramePublisher(process.bus)
    async with asyncio.TaskGroup() as tasks:
        running: list[asyncio.Task[Any]] = [tasks.create_task(Relay(store, process.bus, publish).run())]
        writers = [_writer(process, store, partition) for partition in range(settings.partitions)]
        running += [tasks.create_task(writer.run()) for writer in writers]
        process.metrics.register(WriterMetrics(writers))
        process.ready["ingest.writer"] = lambda: not any(writer.trouble for writer in writers)
        await process.bus.answer(
            SERIES, SeriesAsked, History(process.database, settings.partitions).tell, queue="ingest"
        )
        retention = Retention(process.bus, settings.partitions)
        scrub = Scrub(process.database, retention, settings.partitions)
        application = Application(store, process.database, process.bus, settings.partitions)
        folder, jobs = Folder(settings.data), Jobs(process.database)
        importer = Importer(application, jobs, folder, publisher, process.clock, settings.partitions)
        running += [
            tasks.create_task(Deletion(process.database).run()),
            tasks.create_task(retention.run()),
            tasks.create_task(scrub.run(settings.scrub_interval)),
            tasks.create_task(importer.run()),
            tasks.create_task(Expiry(process.database, application, process.clock, settings.partitions).run()),
        ]
        reactions = Follower(process.bus, process.database, "ingest", "reactions", {AccountClosed: note_closure})
        running += [
            tasks.create_task(reactions.run()),
            tasks.create_task(Closures(process.database, application, folder).run()),
        ]
        yield
        for task in running:
            task.cancel()
    streams.cancel()
    await publisher.close()
    await store.close()


def _writer(process: Process, store: EventStore, partition: int) -> DataFollower:
    apply = Writer(partition, store.commit).apply
    spacing = process.settings.writer_spacing
    return DataFollower(process.bus, process.database, "ingest", "writer", partition, apply, spacing=spacing)


service = Service(
    name="ingest",
    schema=schema(),
    routes=(
        Route("/ez", exact=True),
        Route("/c", exact=True),
        Route("/v", exact=True),
        Route("/v1/"),
        Route("/x/", secret=True),
        Route("/api/public", exact=True),
        Route("/api/v1/batch", exact=True, body=16 << 20),
        Route("/api/v1/stats", exact=True),
        Route("/api/v1/stats/"),
        Route("/api/v1/dashboard", exact=True),
        Route("/api/v1/export", exact=True, streams=True),
        Route("/api/v1/import", body=0, streams=True),
        Route("/api/v1/live", exact=True, streams=True),
        Route("/api/v1/health", exact=True),
        Route("/api/v1/mvps"),
    ),
    http=http,
    work=work,
    commands={"replay": replay.command, "scrub": scrubbing.command},
)
