"""An accounts service over real servers: its own database, the session's NATS."""

from collections.abc import AsyncIterator, Iterator
from importlib.resources import files

import pytest

from libs.bus.connect import Bus
from libs.eventstore.database import Database
from libs.eventstore.migrate import migrate
from libs.eventstore.store import EventStore
from libs.runtime.clock import SystemClock
from libs.runtime.settings import Settings
from services.accounts.application.context import Context
from services.accounts.barrier import Barrier
from services.accounts.passwords import Passwords
from services.accounts.projections import project
from tests.libs.databases import fresh_database
from tests.servers import Servers


@pytest.fixture(scope="package")
def dsn(servers: Servers) -> Iterator[str]:
    with fresh_database(servers.database_url) as dsn:
        migrate(dsn, [("accounts", files("services.accounts").joinpath("schema.sql").read_text())])
        yield dsn


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    """As HTTP processes have it: row-level security binds."""
    database = Database(dsn, "ezstat_app")
    await database.open()
    yield database
    await database.close()


@pytest.fixture
async def bus(servers: Servers) -> AsyncIterator[Bus]:
    bus = Bus.start(servers.nats_url, "accounts-test")
    await bus.wait(5)
    yield bus
    await bus.close()


@pytest.fixture
def settings(dsn: str, servers: Servers) -> Settings:
    return Settings(
        database_url=dsn, nats_url=servers.nats_url, redis_url=servers.redis_url, secret="a secret for tests",
        api_key="a self-hosted key for tests",
    )  # fmt: skip


@pytest.fixture
async def context(dsn: str, settings: Settings, database: Database, bus: Bus) -> AsyncIterator[Context]:
    store = EventStore("accounts", dsn, project)
    barrier = Barrier(bus, database, deadline=0.1)
    await barrier.start()
    passwords = Passwords()
    yield Context(
        settings=settings, clock=SystemClock(), store=store, database=database, passwords=passwords, barrier=barrier
    )
    passwords.close()
    await store.close()
