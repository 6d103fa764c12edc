"""Servers die while frames flow: what was acknowledged counts once, what was not is sent again."""

import asyncio
from uuid import uuid4

import psycopg

from libs.bus import streams
from libs.bus.connect import Bus
from libs.bus.errors import BusUnavailable
from libs.bus.publish import FramePublisher
from libs.eventstore.database import DatabaseUnavailable
from libs.eventstore.migrate import migrate
from tests.eventually import eventually
from tests.libs.bus.mill import SCHEMA, Producer
from tests.libs.bus.test_data import POINTS, follower, running, total
from tests.libs.databases import fresh_database
from tests.servers import Servers


async def deliver(publisher: FramePublisher, frame: bytes) -> None:
    """As the spool does: the same frame until it is acknowledged, with a new message id, as after the window."""
    while True:
        try:
            await publisher.publish("points.0", uuid4().hex, frame)
            return
        except BusUnavailable:
            await asyncio.sleep(0.05)


async def settled(dsn: str, sent: int) -> bool:
    try:
        return await asyncio.to_thread(total, dsn) == sent
    except (DatabaseUnavailable, psycopg.OperationalError):
        return False


async def test_kills_of_nats_postgres_and_backends_lose_and_double_nothing(own_servers: Servers):
    with fresh_database(own_servers.database_url) as dsn:
        migrate(dsn, [("mill", SCHEMA)])
        await grind_through_faults(own_servers, dsn)


async def grind_through_faults(own_servers: Servers, dsn: str) -> None:
    bus = Bus.start(own_servers.nats_url, "mill")
    await bus.wait(5)
    await streams.ensure_points(bus, POINTS)
    start = (await bus.js.stream_info("POINTS_0")).state.last_seq
    publisher, producer = FramePublisher(bus), Producer()
    sent, stop = 0, asyncio.Event()

    async def load() -> None:
        nonlocal sent
        while not stop.is_set():
            await asyncio.gather(*(deliver(publisher, producer.frame(1.0)) for _ in range(4)))
            sent += 4

    it = follower(bus, dsn, spacing=0.005)
    async with running(it):
        loading = asyncio.create_task(load())
        for fault in (kill_nats, kill_backend, freeze_nats, restart_postgres, kill_nats):
            before = sent
            await eventually(lambda before=before: sent > before + 100, within=10)
            await fault(own_servers, dsn)
        await eventually(lambda before=sent: sent > before + 100, within=10)
        stop.set()
        await loading
        await eventually(lambda: settled(dsn, sent), within=20)
        assert (await bus.js.stream_info("POINTS_0")).state.last_seq - start >= sent
    await publisher.close()
    await bus.js.delete_stream("POINTS_0")
    await bus.close()


def name_of(dsn: str) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(dsn)["dbname"])


async def kill_nats(servers: Servers, _: str) -> None:
    servers.nats.kill()
    await asyncio.to_thread(servers.nats.start)


async def freeze_nats(servers: Servers, _: str) -> None:
    servers.nats.freeze()
    await asyncio.sleep(2.5)  # the fault itself: longer than a publish waits
    servers.nats.thaw()


async def kill_backend(servers: Servers, dsn: str) -> None:
    with psycopg.connect(servers.database_url, autocommit=True) as admin:
        admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name_of(dsn),))


async def restart_postgres(servers: Servers, _: str) -> None:
    servers.postgres.kill()
    await asyncio.sleep(0.5)  # the fault itself: down while the follower tries
    await asyncio.to_thread(servers.postgres.start)
