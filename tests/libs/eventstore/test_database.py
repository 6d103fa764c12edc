import asyncio
from contextlib import suppress
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from libs.eventstore.database import Database, DatabaseUnavailable, SetupError, connect
from libs.eventstore.migrate import migrate
from libs.eventstore.store import EventStore
from libs.runtime.children import free_port
from tests.libs.databases import fresh_database
from tests.libs.eventstore.shop import SCHEMA, Shelf, project
from tests.servers import Servers


async def test_a_tenant_sees_its_own_rows_only(store: EventStore, database: Database):
    alice, bob = Shelf(account=uuid4(), name="alice"), Shelf(account=uuid4(), name="bob")
    await store.save(alice, bob)
    async with database.tenant(alice.account) as cursor:
        await cursor.execute("select name from shop.shelves")
        assert await cursor.fetchall() == [("alice",)]
        await cursor.execute("update shop.shelves set name = 'stolen' where id = %s", (bob.id,))
        assert cursor.rowcount == 0
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with database.tenant(alice.account) as cursor:
            await cursor.execute("insert into shop.shelves values (%s, %s, 'forged')", (uuid4(), bob.account))


async def test_the_house_sees_every_account_and_the_next_transaction_does_not(store: EventStore, database: Database):
    shelf = Shelf(account=uuid4(), name="shared")
    await store.save(shelf)
    async with database.house() as cursor:
        await cursor.execute("select name from shop.shelves where id = %s", (shelf.id,))
        assert await cursor.fetchone() == ("shared",)
    async with database._pool.connection() as connection:
        for table in ("shelves", "secrets", "shop_events", "positions"):
            assert await (await connection.execute(f"select * from shop.{table}")).fetchall() == []


async def test_an_error_inside_rolls_the_transaction_back(database: Database):
    with suppress(KeyError):
        async with database.house() as cursor:
            await cursor.execute("insert into shop.secrets values (99, 'lost')")
            raise KeyError
    async with database.house() as cursor:
        await cursor.execute("select from shop.secrets where id = 99")
        assert await cursor.fetchone() is None


def test_every_table_of_a_service_is_protected_whether_it_asked_or_not(dsn: str):
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "select relname, relrowsecurity from pg_class where relnamespace = 'shop'::regnamespace and relkind = 'r'"
        ).fetchall()
    assert {"shelves", "secrets", "shop_events", "positions", "producers", "items", "parked"} <= {
        name for name, _ in rows
    }
    assert all(protected for _, protected in rows)


def test_migrating_again_changes_nothing_and_new_sql_is_applied(dsn: str):
    migrate(dsn, [("shop", SCHEMA)])
    migrate(dsn, [("shop", SCHEMA + "alter table shop.secrets add column if not exists hint text;")])
    with connect(dsn) as connection:
        connection.execute("select hint from shop.secrets")


async def test_without_postgres_everything_opens_and_answers_unavailable():
    nowhere = f"postgresql://ezstat@127.0.0.1:{free_port()}/postgres"
    database, store = Database(nowhere, "ezstat_app"), EventStore("shop", nowhere, project)
    await database.open()
    tries = (
        ask(database),
        store.save(Shelf(account=uuid4(), name="nowhere")),
        store.get(uuid4()),
        asyncio.to_thread(database.connect),
        asyncio.to_thread(migrate, nowhere, []),
    )
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [DatabaseUnavailable] * 5
    await database.close()
    await store.close()


async def ask(database: Database) -> None:
    async with database.house() as cursor:
        await cursor.execute("select 1")


def test_a_database_user_who_may_not_create_roles_is_told_what_to_run(servers: Servers, dsn: str):
    with fresh_database(servers.database_url) as other, psycopg.connect(servers.database_url, autocommit=True) as admin:
        admin.execute("create role plain login password 'plain'")
        admin.execute("grant create on database " + other.split("dbname=")[1].split()[0] + " to plain")
        plain = make_conninfo(other, user="plain", password="plain")
        try:
            with pytest.raises(SetupError, match=r"grant ezstat_app, ezstat_worker to \"plain\""):
                migrate(plain, [("shop", SCHEMA)])
            admin.execute("grant ezstat_app, ezstat_worker to plain")
            migrate(plain, [("shop", SCHEMA)])
            with connect(plain) as connection:
                assert connection.execute("select count(*) from shop.shelves").fetchone() == (0,)
        finally:
            with psycopg.connect(other, autocommit=True) as owner:
                owner.execute("drop owned by plain cascade")
            admin.execute("drop role plain")
