"""After Postgres was away, the first who ask get an answer; while it hangs, nobody waits for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from libs.eventstore.database import Database, DatabaseUnavailable
from libs.eventstore.store import EventStore
from tests.libs.eventstore.shop import Shelf, project


async def test_when_every_pooled_connection_was_broken_the_next_transactions_succeed(dsn: str):
    database, store = Database(dsn, "ezstat_app", size=6), EventStore("shop", dsn, project)
    await database.open()

    async def use() -> None:
        async with database.house() as cursor:
            await cursor.execute("select pg_sleep(0.02)")

    async def all_at_once() -> None:
        await asyncio.gather(*(use() for _ in range(12)))
        await asyncio.gather(*(store.save(Shelf(account=uuid4(), name="x")) for _ in range(12)))

    await all_at_once()
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )
    await all_at_once()
    await database.close()
    await store.close()


class Line:
    """What stands between us and Postgres. While it is not `open`, connections stay and nothing comes through."""

    def __init__(self, dsn: str) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self._server = conninfo_to_dict(dsn)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far = await asyncio.open_connection(self._server["host"], int(self._server["port"] or 0))
        await asyncio.gather(self._carry(reader, far[1]), self._carry(far[0], writer), return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            await self.open.wait()
            writer.write(data)
        writer.close()


@asynccontextmanager
async def line(dsn: str) -> AsyncIterator[tuple[Line, str]]:
    """A line to Postgres, and the connection string through it."""
    between = Line(dsn)
    server = await asyncio.start_server(between.connected, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    yield between, make_conninfo(dsn, host=host, port=port)
    server.close()


async def test_while_postgres_hangs_a_transaction_is_refused_within_seconds(dsn: str):
    async with line(dsn) as (between, through):
        database = Database(through, "ezstat_app")
        await database.open()
        async with database.house():
            pass
        between.open.clear()
        async with asyncio.timeout(8):
            with pytest.raises(DatabaseUnavailable):
                async with database.house():
                    pass
        between.open.set()
        async with database.house() as cursor:
            await cursor.execute("select 1")
        await database.close()
