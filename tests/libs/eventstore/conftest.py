from collections.abc import AsyncIterator, Iterator

import pytest

from libs.eventstore.database import Database
from libs.eventstore.migrate import migrate
from libs.eventstore.store import EventStore
from tests.libs.databases import fresh_database
from tests.libs.eventstore.shop import SCHEMA, project
from tests.servers import Servers


@pytest.fixture(scope="package")
def dsn(servers: Servers) -> Iterator[str]:
    with fresh_database(servers.database_url) as dsn:
        migrate(dsn, [("shop", SCHEMA)])
        yield dsn


@pytest.fixture
async def store(dsn: str) -> AsyncIterator[EventStore]:
    store = EventStore("shop", dsn, project)
    yield store
    await store.close()


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    database = Database(dsn, "ezstat_app")
    await database.open()
    yield database
    await database.close()
