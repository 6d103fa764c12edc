import asyncio
from uuid import uuid4

import pytest
from psycopg import Cursor

from libs.bus import trace
from libs.eventstore.database import Database, connect
from libs.eventstore.store import Conflict, EventStore, NotFound, StaleAggregate
from tests.libs.eventstore.shop import Shelf


async def shelves(database: Database, account) -> list[tuple[str, int]]:
    async with database.tenant(account) as cursor:
        await cursor.execute("select name, books from shop.shelves order by name")
        return await cursor.fetchall()


async def test_an_aggregate_comes_back_as_it_was_saved(store: EventStore):
    shelf = Shelf(account=uuid4(), name="atlases", tags=frozenset({"b", "a"}), seal=b"\x00\xff")
    shelf.fill(3)
    await store.save(shelf)
    again = await store.get(shelf.id)
    assert (again.account, again.name, again.tags, again.seal, again.books) == (
        shelf.account, "atlases", frozenset({"a", "b"}), b"\x00\xff", 3,
    )  # fmt: skip


async def test_an_unknown_id_is_not_found(store: EventStore):
    with pytest.raises(NotFound):
        await store.get(uuid4())


async def test_own_views_are_there_when_save_returns(store: EventStore, database: Database):
    shelf = Shelf(account=uuid4(), name="novels")
    shelf.fill(7)
    await store.save(shelf)
    assert await shelves(database, shelf.account) == [("novels", 7)]


async def test_a_constraint_of_a_view_refuses_the_commit_by_its_name_and_nothing_is_stored(
    store: EventStore, database: Database
):
    account = uuid4()
    await store.save(Shelf(account=account, name="maps"))
    other, twin = Shelf(account=account, name="globes"), Shelf(account=account, name="maps")
    with pytest.raises(Conflict) as refused:
        await store.save(other, twin)
    assert refused.value.constraint == "one_shelf_of_a_name"
    assert await shelves(database, account) == [("maps", 0)]
    with pytest.raises(NotFound):
        await store.get(other.id)


async def test_who_decides_on_old_facts_is_told_so(store: EventStore, database: Database):
    shelf = Shelf(account=uuid4(), name="poems")
    await store.save(shelf)
    first, second = await store.get(shelf.id), await store.get(shelf.id)
    first.fill(1)
    second.fill(1)
    await store.save(first)
    with pytest.raises(StaleAggregate):
        await store.save(second)
    assert await shelves(database, shelf.account) == [("poems", 1)]


async def test_what_comes_along_is_in_the_same_transaction(store: EventStore, database: Database):
    def write(cursor: Cursor) -> None:
        cursor.execute("insert into shop.secrets values (1, 'sesame')")

    def fail(cursor: Cursor) -> None:
        write(cursor)
        raise ZeroDivisionError

    shelf = Shelf(account=uuid4(), name="recipes")
    with pytest.raises(ZeroDivisionError):
        await store.save(shelf, also=fail)
    assert await shelves(database, shelf.account) == []
    await store.save(Shelf(account=shelf.account, name="recipes"), also=write)
    async with database.house() as cursor:
        await cursor.execute("select word from shop.secrets")
        assert await cursor.fetchall() == [("sesame",)]


async def test_the_log_is_read_in_order_and_remembers_which_request_an_event_came_from(store: EventStore):
    before = max((r.position for r in await asyncio.to_thread(store.events_after, 0, 10_000)), default=0)
    with trace.following("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01") as traceparent:
        shelf = Shelf(account=uuid4(), name="plays")
        shelf.fill(2)
        await store.save(shelf)
    recorded = store.events_after(before, 10)
    assert [type(r.event).__name__ for r in recorded] == ["Built", "Filled"]
    assert {r.trace for r in recorded} == {traceparent}
    assert store.events_after(recorded[0].position, 10) == recorded[1:]


async def test_parallel_commits_leave_no_gap_that_a_reader_could_pass_over(store: EventStore):
    position, seen = store.events_after(0, 100_000)[-1].position if store.events_after(0, 1) else 0, 0
    saving = asyncio.gather(*(store.save(*(Shelf(account=uuid4(), name=str(n)) for n in range(3))) for _ in range(40)))
    while seen < 120:
        page = await asyncio.to_thread(store.events_after, position, 7)
        position, seen = page[-1].position if page else position, seen + len(page)
    await saving
    assert seen == 120


async def test_a_commit_wakes_who_waits_for_changes(store: EventStore):
    await store.changed(5)
    waiting = asyncio.create_task(store.changed(30))
    await store.save(Shelf(account=uuid4(), name="diaries"))
    await asyncio.wait_for(waiting, 5)


async def test_a_rebuild_gives_the_same_tables(dsn: str, store: EventStore):
    shelf = Shelf(account=uuid4(), name="letters")
    shelf.fill(4)
    await store.save(shelf)
    with connect(dsn) as connection:
        before = connection.execute("select * from shop.shelves order by id").fetchall()
        connection.execute("truncate shop.shelves")
        assert store.rebuild(connection.cursor()) >= len(before)
        assert connection.execute("select * from shop.shelves order by id").fetchall() == before


async def test_the_library_never_uses_its_database_functions(store: EventStore, monkeypatch: pytest.MonkeyPatch):
    """With them a reader missed 8 of 3,600 events: they take no table lock."""
    assert store._recorder.datastore.enable_db_functions is False
