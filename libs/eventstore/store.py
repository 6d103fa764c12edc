"""The event store of a service: aggregates in, aggregates out, and one transaction for events and views."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import copy_context
from functools import partial
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import psycopg
from eventsourcing.application import AggregateNotFoundError, Repository
from eventsourcing.domain import Aggregate, DomainEvent
from eventsourcing.persistence import EventStore as LibraryStore
from eventsourcing.persistence import Mapper, StoredEvent
from psycopg import Cursor, sql
from psycopg.rows import TupleRow, tuple_row

from libs.eventstore.database import EVERYONE, Role, session_conninfo
from libs.eventstore.recorder import Conflict, StaleAggregate, Write, recorder
from libs.eventstore.transcoding import transcoder

Project = Callable[[Cursor[TupleRow], Any], None]
T = TypeVar("T")

_PAGE = 1000


class NotFound(Exception):
    """No aggregate has this id."""


class Recorded(NamedTuple):
    """An event of the log. `position` grows but has gaps; `trace` is the traceparent it came from, or empty."""

    position: int
    event: Any
    trace: str


class EventStore:
    """Aggregates of one service, in its own Postgres schema.

    `project` writes an event's effect into the service's own tables. It runs in the transaction that stores the event
    (so that a unique index there can refuse it) and in pipeline mode: it may read, but must not look at `rowcount`.
    """

    def __init__(self, service: str, dsn: str, project: Project, role: Role = "ezstat_app") -> None:
        self.service = service
        self._project = project
        self._recorder = recorder(dsn, service, role)
        self._mapper: Mapper[UUID] = Mapper(transcoder())
        self._repository: Repository[UUID] = Repository(LibraryStore(self._mapper, self._recorder))
        self._threads = ThreadPoolExecutor(4, thread_name_prefix=f"{service}-events")
        self._listening = _Listening(session_conninfo(dsn, role, EVERYONE), f"{service}_events")
        table = sql.Identifier(service, f"{service}_events")
        self._select = sql.SQL(
            "select notification_id, originator_id, originator_version, topic, state, trace from {} "
            "where notification_id > %s order by notification_id limit %s"
        ).format(table)
        self._lock = sql.SQL("lock table {} in exclusive mode").format(table)

    def commit(self, *aggregates: Aggregate | DomainEvent, also: Write | None = None) -> None:
        """Store what happened to the aggregates, in ONE transaction with the views (and `also`), or nothing at all.

        Raises `Conflict` (a constraint said no), `StaleAggregate` (somebody was faster), `DatabaseUnavailable`.
        After an error the aggregates' new events are gone: get them again.
        """
        events = [event for each in aggregates for event in _pending(each)]
        views: list[Write] = [partial(self._project_all, events)] if events else []
        if also is not None:
            views.append(also)
        if views:
            self._recorder.insert_events([self._mapper.to_stored_event(event) for event in events], views=views)

    def _project_all(self, events: Sequence[Any], cursor: Cursor[TupleRow]) -> None:
        with cursor.connection.pipeline():
            for event in events:
                self._project(cursor, event)

    async def save(self, *aggregates: Aggregate | DomainEvent, also: Write | None = None) -> None:
        """`commit` in a thread; relays wake by Postgres' NOTIFY, in whichever process they run."""
        await self._in_thread(partial(self.commit, *aggregates, also=also))

    async def get(self, aggregate_id: UUID) -> Any:
        """The aggregate as its events left it. Raises `NotFound`, `DatabaseUnavailable`."""
        return await self._in_thread(partial(self.find, aggregate_id))

    def find(self, aggregate_id: UUID) -> Any:
        """`get`, for code that runs in a thread of its own."""
        try:
            return self._repository.get(aggregate_id)
        except AggregateNotFoundError:
            raise NotFound(str(aggregate_id)) from None

    async def _in_thread(self, call: Callable[[], T]) -> T:
        # asyncio.to_thread would do, but its threads are shared with slower work; the context carries the traceparent.
        context = copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._threads, context.run, call)

    def events_after(self, position: int, limit: int) -> list[Recorded]:
        """The next events of the log, in the order of their commits. Raises `DatabaseUnavailable`."""
        with self._recorder.connection() as connection:
            return self._read(connection, position, limit)

    def _read(self, connection: psycopg.Connection[Any], position: int, limit: int) -> list[Recorded]:
        with connection.cursor(row_factory=tuple_row) as cursor:
            rows = cursor.execute(self._select, (position, limit), prepare=True).fetchall()
        return [
            Recorded(
                number, self._mapper.to_domain_event(StoredEvent(originator, version, topic, bytes(state))), trace or ""
            )
            for number, originator, version, topic, state, trace in rows
        ]

    @contextmanager
    def transaction(self) -> Iterator[Cursor[TupleRow]]:
        """One transaction on a connection of the store, seeing every account. Raises `DatabaseUnavailable`."""
        with self._recorder.connection() as connection, connection.transaction():
            yield connection.cursor(row_factory=tuple_row)

    def rebuild(self, cursor: Cursor[TupleRow]) -> int:
        """Project the whole log again, in the caller's transaction, which emptied the views before. Returns how many.

        Commits of others wait until the caller's transaction ends, so that none is missed or projected twice.
        """
        cursor.execute(self._lock)
        position = count = 0
        while page := self._read(cursor.connection, position, _PAGE):
            self._project_all([recorded.event for recorded in page], cursor)
            position, count = page[-1].position, count + len(page)
        return count

    async def changed(self, within: float) -> None:
        """Return when somebody committed since the last call, or after `within` seconds, Postgres up or down."""
        await self._listening.wait(within)

    async def close(self) -> None:
        await self._listening.close()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._recorder.datastore.close()


def _pending(source: Aggregate | DomainEvent) -> Sequence[Any]:
    return source.collect_events() if isinstance(source, Aggregate) else (source,)


class _Listening:
    """LISTEN on the channel that each commit notifies."""

    def __init__(self, conninfo: str, channel: str) -> None:
        self._conninfo = conninfo
        self._listen = sql.SQL("listen {}").format(sql.Identifier(channel))
        self._connection: psycopg.AsyncConnection[TupleRow] | None = None

    async def wait(self, within: float) -> None:
        try:
            if self._connection is None:
                self._connection = await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True)
                await self._connection.execute(self._listen)
                return  # something may have been committed before we listened
            async for _ in self._connection.notifies(timeout=within, stop_after=1):
                pass
        except psycopg.Error:
            await self.close()
            await asyncio.sleep(within)

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                await connection.close()


__all__ = ["Conflict", "EventStore", "NotFound", "Project", "Recorded", "StaleAggregate", "Write"]
