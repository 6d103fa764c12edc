"""A follower's row in its service's schema: how far it is, moved in the transaction of its effects."""

from datetime import datetime
from typing import NamedTuple, Protocol

import psycopg
from psycopg import Cursor, sql
from psycopg.rows import TupleRow


class Connects(Protocol):
    """Where a follower's connection comes from (`libs.eventstore.database.Database`)."""

    def connect(self) -> psycopg.Connection[TupleRow]: ...


class Rival(Exception):
    """Another follower of the same name moved the position, or holds its lock."""


class Position(NamedTuple):
    """Stream sequence, when that stream was made, and the producer's own position for events."""

    stream: int = 0
    created: datetime | None = None
    source: int = 0


def begin_after(cursor: Cursor[TupleRow], schema: str, follower: str, partition: int, sequence: int) -> None:
    """Have a follower that never ran begin after this stream sequence: what came before it learns in another way."""
    query = sql.SQL("insert into {}(partition, follower, position) values (%s, %s, %s) on conflict do nothing")
    cursor.execute(query.format(sql.Identifier(schema, "positions")), (partition, follower, sequence))


class Positions:
    """The row of one follower and partition. Every method runs inside the caller's transaction."""

    _LOCK = "select pg_try_advisory_lock(hashtextextended(%s, 0))"

    def __init__(self, schema: str, follower: str, partition: int) -> None:
        self._key = (partition, follower)
        self._lock_name = f"{schema}/{follower}/{partition}"
        table = sql.Identifier(schema, "positions")
        where = sql.SQL(" where partition = %s and follower = %s")
        self._insert = sql.SQL("insert into {}(partition, follower) values (%s, %s) on conflict do nothing").format(
            table
        )
        self._select = sql.SQL("select position, stream_created, source_position from {}").format(table) + where
        self._hold = sql.SQL("select from {}").format(table) + where + sql.SQL(" for update")
        moved = sql.SQL("update {} set position = %s, stream_created = %s, source_position = %s, moved_at = now()")
        self._put = moved.format(table) + where
        self._update = self._put + sql.SQL(
            " and position = %s and source_position = %s and stream_created is not distinct from %s"
        )

    def read(self, cursor: Cursor[TupleRow]) -> Position:
        """Where it was left, without claiming it."""
        row = cursor.execute(self._select, self._key).fetchone()
        return Position(*row) if row else Position()

    def note(self, cursor: Cursor[TupleRow], position: Position) -> None:
        """Write it down, for who needs no fence around it."""
        cursor.execute(self._insert, self._key)
        cursor.execute(self._put, (*position, *self._key))

    def claim(self, cursor: Cursor[TupleRow]) -> Position:
        """Become the only follower of this name, for as long as the connection lives. Raises `Rival`."""
        cursor.execute(self._LOCK, (self._lock_name,))
        if cursor.fetchone() != (True,):
            raise Rival("another process follows")
        cursor.execute(self._insert, self._key)
        return self.read(cursor)

    def hold(self, cursor: Cursor[TupleRow]) -> None:
        """Before anything is read for a batch: who begins something at our position (`libs.series.watching`) does it
        wholly before this batch or wholly after it."""
        cursor.execute(self._hold, self._key, prepare=True)

    def move(self, cursor: Cursor[TupleRow], old: Position, new: Position) -> None:
        """First in a transaction: the row's lock keeps a rival out until its end. Raises `Rival`."""
        cursor.execute(self._update, (*new, *self._key, old.stream, old.source, old.created), prepare=True)
        if cursor.rowcount != 1:
            raise Rival("the position is not where it was left")
