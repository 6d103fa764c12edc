import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

import psycopg
import pytest
from nats.js.errors import NotFoundError

from libs.bus import streams, trace
from libs.bus.connect import Bus
from libs.bus.follower import Follower
from libs.bus.parking import ask_replay, list_parked
from libs.bus.relay import Relay
from libs.eventstore.database import Database, DatabaseUnavailable, connect
from libs.eventstore.migrate import migrate
from libs.eventstore.store import EventStore
from tests.eventually import eventually
from tests.libs.bus.kiosk import CLERK, KIOSK, Opened, Paper, Sold, project, publish
from tests.libs.databases import empty, fresh_database
from tests.servers import Servers

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SERVICES = [("kiosk", KIOSK), ("clerk", CLERK)]


@pytest.fixture(scope="module")
def database_of_both(servers: Servers) -> Iterator[str]:
    with fresh_database(servers.database_url) as dsn:
        migrate(dsn, SERVICES)
        yield dsn


@pytest.fixture
def dsn(database_of_both: str) -> str:
    empty(database_of_both, "kiosk", "clerk")
    return database_of_both


@pytest.fixture
async def store(dsn: str, bus: Bus) -> AsyncIterator[EventStore]:
    store = EventStore("kiosk", dsn, project)
    yield store
    await store.close()
    if "EVENTS_KIOSK" in {stream.config.name for stream in await bus.js.streams_info()}:
        await bus.js.delete_stream("EVENTS_KIOSK")


@asynccontextmanager
async def running(*them: Relay | Follower) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(each.run()) for each in them]
    try:
        yield
        for task in tasks:
            assert not task.done(), task.exception()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def record_sale(cursor: psycopg.Cursor, event: Sold) -> None:
    cursor.execute(
        "insert into clerk.sales(account, title, trace) values (%s, %s, %s)",
        (event.account, event.title, trace.current()),
    )


def clerk(bus: Bus, dsn: str, handle=record_sale, name: str = "sales") -> Follower:
    return Follower(bus, Database(dsn, "ezstat_worker"), "clerk", name, {Sold: handle})


def sales(dsn: str) -> list[str]:
    with connect(dsn) as connection:
        return [title for (title,) in connection.execute("select title from clerk.sales order by n").fetchall()]


async def test_what_was_committed_arrives_elsewhere_once_in_order_and_with_its_traceparent(bus: Bus, dsn: str, store):
    async with running(Relay(store, bus, publish), clerk(bus, dsn)):
        with trace.following(TRACEPARENT):
            for n in range(20):
                await store.save(Paper(account=uuid4(), title=f"no. {n}"))
        await eventually(lambda: sales(dsn) == [f"no. {n}" for n in range(20)])
    with connect(dsn) as connection:
        assert connection.execute("select distinct trace from clerk.sales").fetchall() == [(TRACEPARENT,)]


async def test_public_events_are_cloudevents(bus: Bus, store: EventStore):
    account = uuid4()
    async with running(Relay(store, bus, publish)):
        await store.save(Paper(account=account, title="Zeitung"))
        await eventually(lambda: last_sequence(bus, 2))
    message = await bus.js.get_msg("EVENTS_KIOSK", 2)
    assert message.subject == f"kiosk.Sold.{account}"
    assert message.headers["ce-specversion"] == "1.0"
    assert message.headers["ce-type"] == "kiosk.Sold"
    assert message.headers["ce-source"] == "/ezstat/kiosk"
    assert message.headers["ce-time"].endswith("Z")
    assert int(message.headers["ce-id"]) == 1 * 1024 + 1
    assert b'"title":"Zeitung"' in message.data


async def last_sequence(bus: Bus, wanted: int) -> bool:
    with suppress(NotFoundError):
        return (await bus.js.stream_info("EVENTS_KIOSK")).state.last_seq == wanted
    return False


async def test_a_relay_goes_on_where_the_stream_ends_and_skips_what_says_nothing(bus: Bus, dsn: str, store: EventStore):
    paper = Paper(account=uuid4(), title="first")
    async with running(Relay(store, bus, publish)):
        await store.save(paper)
        await eventually(lambda: last_sequence(bus, 2))
        for _ in range(5):
            paper.read()
        await store.save(paper)
    paper.sell()
    await store.save(paper)
    async with running(Relay(store, bus, publish)):
        await eventually(lambda: last_sequence(bus, 3))
        await store.save(Paper(account=uuid4(), title="second"))
        await eventually(lambda: last_sequence(bus, 5))


async def test_many_relays_at_once_publish_each_event_once(bus: Bus, dsn: str, store: EventStore):
    relays = [Relay(store, bus, publish) for _ in range(3)]
    async with running(*relays, clerk(bus, dsn)):
        await asyncio.gather(*(store.save(*papers(30)) for _ in range(10)))
        await eventually(lambda: len(sales(dsn)) == 300, within=15)
    assert (await bus.js.stream_info("EVENTS_KIOSK")).state.last_seq == 600


def papers(count: int) -> list[Paper]:
    return [Paper(account=uuid4(), title=str(n)) for n in range(count)]


async def test_a_stream_that_lost_everything_is_told_again_and_nothing_is_handled_twice(bus: Bus, dsn: str, store):
    async with running(Relay(store, bus, publish), clerk(bus, dsn)):
        await store.save(*papers(10))
        await eventually(lambda: len(sales(dsn)) == 10)
    await bus.js.delete_stream("EVENTS_KIOSK")
    async with running(Relay(store, bus, publish), clerk(bus, dsn)):
        await store.save(*papers(1))
        await eventually(lambda: len(sales(dsn)) == 11, within=10)
        await eventually(lambda: last_sequence(bus, 22))
    assert len(sales(dsn)) == 11


async def test_a_follower_that_comes_after_the_stream_forgot_gets_the_history(bus: Bus, dsn: str, store: EventStore):
    async with running(Relay(store, bus, publish)):
        for _ in range(3):
            await store.save(*papers(400))
        await eventually(lambda: last_sequence(bus, 2400))
        await bus.js.purge_stream("EVENTS_KIOSK")  # as three days do
        await store.save(*papers(1))
        async with running(clerk(bus, dsn)):
            await eventually(lambda: len(sales(dsn)) == 1201, within=15)
            await store.save(*papers(1))
            await eventually(lambda: len(sales(dsn)) == 1202)
    async with running(Relay(store, bus, publish)):
        await store.save(*papers(1))
        await eventually(lambda: last_sequence(bus, 2406))


async def test_handlers_that_refuse_an_event_get_it_parked_and_replayed_out_of_turn(
    bus: Bus, dsn: str, store: EventStore
):
    mended = False

    def picky(cursor: psycopg.Cursor, event: Sold) -> None:
        if event.title == "bad" and not mended:
            raise ValueError("not this one")
        record_sale(cursor, event)

    follower = clerk(bus, dsn, picky)
    async with running(Relay(store, bus, publish), follower):
        await store.save(*(Paper(account=uuid4(), title=title) for title in ("good", "bad", "better")))
        await eventually(lambda: sales(dsn) == ["good", "better"])
        mended = True
        with connect(dsn) as connection:
            assert "not this one" in list_parked(connection.cursor(), "clerk")[0].reason
            ask_replay(connection.cursor(), "clerk")
        follower._following[0]._tidied = 0.0
        await store.save(Paper(account=uuid4(), title="best"))
        await eventually(lambda: sorted(sales(dsn)) == ["bad", "best", "better", "good"])


async def test_an_event_that_cannot_be_read_is_parked_and_the_next_is_handled(bus: Bus, dsn: str):
    await streams.ensure_events(bus, "kiosk")
    good = b'{"account":"00000000-0000-0000-0000-000000000001","at":1,"title":"fine","future_field":[1]}'
    for number, body in enumerate((b'{"title":', b'{"at":1}', good), 1):
        headers = {"ce-id": str(number), "ce-type": "kiosk.Sold"}
        await bus.js.publish("kiosk.Sold.x", body, headers=headers)
    await bus.js.publish("kiosk.Sold.x", good)
    async with running(clerk(bus, dsn)):
        await eventually(lambda: sales(dsn) == ["fine"])
        await eventually(lambda: parked(dsn) == 3)
    await bus.js.delete_stream("EVENTS_KIOSK")


def parked(dsn: str) -> int:
    with connect(dsn) as connection:
        return len(list_parked(connection.cursor(), "clerk"))


async def test_a_handler_that_is_a_coroutine_is_refused_at_once(bus: Bus, dsn: str):
    async def handler(cursor: psycopg.Cursor, event: Opened) -> None: ...

    with pytest.raises(TypeError, match="plain function"):
        Follower(bus, Database(dsn, "ezstat_worker"), "clerk", "wrong", {Opened: handler})


async def test_chaos_crashing_handlers_rivals_and_a_killed_nats_lose_and_double_nothing(own_servers: Servers):
    with fresh_database(own_servers.database_url) as dsn:
        migrate(dsn, SERVICES)
        bus = Bus.start(own_servers.nats_url, "kiosk")
        store = EventStore("kiosk", dsn, project)
        dice, calm = random.Random(4), asyncio.Event()

        def shaky(cursor: psycopg.Cursor, event: Sold) -> None:
            record_sale(cursor, event)
            if not calm.is_set() and dice.random() < 0.01:
                raise psycopg.OperationalError("crash before commit")

        async with running(
            Relay(store, bus, publish), Relay(store, bus, publish), clerk(bus, dsn, shaky), clerk(bus, dsn, shaky)
        ):
            for round_ in range(12):
                await store.save(*papers(50))
                if round_ in (3, 8):
                    own_servers.nats.kill()
                    await asyncio.to_thread(own_servers.nats.start)
                if round_ == 6:
                    terminate_backends(own_servers, dsn)
            calm.set()
            await eventually(lambda: arrived(dsn, 600), within=30)
        with connect(dsn) as connection:
            assert connection.execute("select count(*), count(distinct account) from clerk.sales").fetchone() == (
                600,
                600,
            )
        await bus.wait(5)
        await bus.js.delete_stream("EVENTS_KIOSK")
        await store.close()
        await bus.close()


def terminate_backends(servers: Servers, dsn: str) -> None:
    name = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
    with psycopg.connect(servers.database_url, autocommit=True) as admin:
        admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,))


def arrived(dsn: str, count: int) -> bool:
    try:
        return len(sales(dsn)) >= count
    except DatabaseUnavailable:
        return False
