"""After Postgres was away, the first who ask get an answer."""

import asyncio
from uuid import uuid4

import psycopg

from libs.eventstore.database import Database
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
