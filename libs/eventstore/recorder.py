"""The eventsourcing library's Postgres recorder, so that a commit is one transaction: events and own views."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
from eventsourcing.persistence import PersistenceError, StoredEvent
from eventsourcing.postgres import ConnectionPool, PostgresApplicationRecorder, PostgresDatastore
from psycopg import Connection, Cursor
from psycopg.rows import DictRow, TupleRow, dict_row, tuple_row

from libs.bus import trace
from libs.eventstore.database import EVERYONE, Role, session_conninfo, unavailable

Write = Callable[[Cursor[TupleRow]], None]

_LOCK_TIMEOUT = 5  # seconds to wait for the event table's lock
_TRIES = 3
# The transaction was rolled back as a whole, and doing it again is right.
_AGAIN = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure, psycopg.errors.LockNotAvailable)


class Conflict(Exception):
    """A constraint of a view refused the commit, so that nothing was stored. `constraint` is its name."""

    def __init__(self, constraint: str) -> None:
        super().__init__(constraint)
        self.constraint = constraint


class StaleAggregate(Exception):
    """Somebody else committed to the same aggregate first: get it again and decide again."""


class _Datastore(PostgresDatastore):
    """The library's pool takes host and port one by one; this one a whole connection string, TLS settings included."""

    def __init__(self, conninfo: str, schema: str, size: tuple[int, int]) -> None:
        super().__init__("", "", "", "", "", schema=schema, lock_timeout=_LOCK_TIMEOUT)
        self.pool = ConnectionPool(
            conninfo,
            connection_class=Connection[DictRow],
            kwargs={"autocommit": True, "row_factory": dict_row},
            min_size=size[0],
            max_size=size[1],
            open=False,
            timeout=2,
            max_lifetime=1800,
            reconnect_timeout=2,
            check=self._check,
            name=f"{schema}-events",
        )

    def _check(self, connection: Connection[Any]) -> None:
        """As `Database` does it."""
        try:
            ConnectionPool.check_connection(connection)
        except psycopg.Error:
            self.pool.check()
            raise

    def register_type_adapters(self) -> None:
        """Nothing yet: the library asks Postgres at construction, when it may be down. `learn_types` does it later."""

    def learn_types(self) -> None:
        """Ask Postgres, once, how the library's composite type looks."""
        super().register_type_adapters()


class Recorder(PostgresApplicationRecorder):
    """Inserts events and views together; never uses the library's database functions, whose readers miss events."""

    datastore: _Datastore

    def insert_events(
        self, stored_events: Sequence[StoredEvent], *, views: Sequence[Write] = (), **_: Any
    ) -> Sequence[int] | None:
        """Views and events in one transaction. Raises `Conflict`, `StaleAggregate`, `DatabaseUnavailable`."""
        for last in (False,) * (_TRIES - 1) + (True,):
            try:
                return self._insert_once(stored_events, views)
            except PersistenceError as error:
                if last or not isinstance(error.__cause__, _AGAIN):
                    raise self._meaning(error) from error.__cause__
        return None

    def _insert_once(self, stored_events: Sequence[StoredEvent], views: Sequence[Write]) -> Sequence[int] | None:
        self.datastore.learn_types()
        with self.datastore.transaction(commit=True) as events:
            cursor = events.connection.cursor(row_factory=tuple_row)
            if traceparent := trace.current():
                cursor.execute("select set_config('ezstat.trace', %s, true)", (traceparent,))
            for write in views:
                write(cursor)
            # Events last: they lock their table until the commit, so that no reader sees a later event first.
            if not stored_events:
                return None
            self._insert_stored_events(events, stored_events)
            return self._fetch_ids_after_insert_events(events, stored_events)

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """As the library's, but without its ten tries: while Postgres is down an answer must come soon."""
        read = PostgresApplicationRecorder.select_events.__wrapped__
        try:
            found: Sequence[StoredEvent] = read(self, originator_id, gt=gt, lte=lte, desc=desc, limit=limit)
        except PersistenceError as error:
            raise self._meaning(error) from error.__cause__
        return found

    @contextmanager
    def connection(self) -> Iterator[Connection[DictRow]]:
        """A connection of the pool, for reading. Raises `DatabaseUnavailable`."""
        try:
            with self.datastore.get_connection() as connection:
                yield connection
        except PersistenceError as error:
            raise self._meaning(error) from error.__cause__

    def _meaning(self, error: PersistenceError) -> Exception:
        """What a refused statement means to the one who commits."""
        cause = error.__cause__
        if isinstance(cause, psycopg.IntegrityError):
            constraint = cause.diag.constraint_name or cause.diag.column_name or ""
            return StaleAggregate() if constraint == f"{self.events_table_name}_pkey" else Conflict(constraint)
        if isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError):
            return unavailable(cause)
        return error


def _recorder(conninfo: str, service: str, size: tuple[int, int]) -> Recorder:
    return Recorder(_Datastore(conninfo, service, size), events_table_name=f"{service}_events")


def recorder(dsn: str, service: str, role: Role) -> Recorder:
    """The recorder of a running service: its connections see every account.

    Few of them: commits queue for the event table's lock anyway, and every process of every service has its own.
    """
    return _recorder(session_conninfo(dsn, role, EVERYONE), service, (1, 4))


def migration_recorder(dsn: str, service: str) -> Recorder:
    """A recorder under the owner of the database, which makes the tables."""
    return _recorder(dsn, service, (1, 1))
