"""Messages that could not be handled: kept with the reason, shown, tried again when a person says so."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from psycopg import Cursor, sql
from psycopg.rows import TupleRow

from libs.bus.pull import Message

REASON_LENGTH = 500


class Parked(NamedTuple):
    """A parked message as people see it."""

    partition: int
    follower: str
    id: int
    stream: str
    sequence: int
    subject: str
    reason: str
    parked_at: datetime
    size: int


def list_parked(cursor: Cursor[TupleRow], schema: str, limit: int = 100) -> list[Parked]:
    """What is parked in a service and was not replayed with success, newest first."""
    query = sql.SQL(
        "select partition, follower, id, stream, sequence, subject, reason, parked_at, length(body) from {} "
        "where replayed_at is null order by parked_at desc, id desc limit %s"
    ).format(sql.Identifier(schema, "parked"))
    return [Parked(*row) for row in cursor.execute(query, (limit,)).fetchall()]


def ask_replay(cursor: Cursor[TupleRow], schema: str, ids: Sequence[int] | None = None) -> int:
    """Have parked messages (these, or all) tried again by their followers, within seconds. Returns how many."""
    query = sql.SQL(
        "update {} set replay_asked = true where replayed_at is null and (%s::bigint[] is null or id = any(%s))"
    ).format(sql.Identifier(schema, "parked"))
    chosen = None if ids is None else list(ids)
    return cursor.execute(query, (chosen, chosen)).rowcount


class Parking:
    """The parked messages of one follower and partition. Every method runs inside the caller's transaction."""

    def __init__(self, schema: str, follower: str, partition: int) -> None:
        self._key = (partition, follower)
        table = sql.Identifier(schema, "parked")
        mine = sql.SQL("partition = %s and follower = %s")
        columns = sql.SQL("id, stream, sequence, subject, headers, body, reason")
        self._insert = sql.SQL(
            "insert into {}(partition, follower, stream, sequence, subject, headers, body, reason) "
            "values (%s, %s, %s, %s, %s, %s, %s, %s)"
        ).format(table)
        self._due = sql.SQL(
            "select {} from {} where {} and replay_asked and replayed_at is null order by id limit 100"
        ).format(columns, table, mine)
        self._unannounced = sql.SQL("select {} from {} where {} and not announced order by id limit 100").format(
            columns, table, mine
        )
        self._announced = sql.SQL("update {} set announced = true where {} and id = any(%s)").format(table, mine)
        self._done = sql.SQL("update {} set replayed_at = now() where {} and id = %s").format(table, mine)
        self._failed = sql.SQL("update {} set replay_asked = false, reason = %s where {} and id = %s").format(
            table, mine
        )

    def park(self, cursor: Cursor[TupleRow], message: Message, reason: str) -> None:
        cursor.execute(
            self._insert,
            (
                *self._key,
                message.stream,
                message.sequence,
                message.subject,
                json.dumps(message.headers),
                message.data,
                _readable(reason),
            ),
        )

    def due(self, cursor: Cursor[TupleRow]) -> list[tuple[int, Message]]:
        """Those that a person wants tried again, with their ids."""
        return [(id, message) for id, message, _ in self._read(cursor, self._due)]

    def unannounced(self, cursor: Cursor[TupleRow]) -> list[tuple[int, Message, str]]:
        """Those that the PARKED stream has no copy of yet, with their ids and reasons."""
        return self._read(cursor, self._unannounced)

    def _read(self, cursor: Cursor[TupleRow], query: sql.Composed) -> list[tuple[int, Message, str]]:
        return [
            (id, Message(stream, sequence, subject, headers, bytes(body)), reason)
            for id, stream, sequence, subject, headers, body, reason in cursor.execute(query, self._key).fetchall()
        ]

    def announced(self, cursor: Cursor[TupleRow], ids: Sequence[int]) -> None:
        cursor.execute(self._announced, (*self._key, list(ids)))

    def replayed(self, cursor: Cursor[TupleRow], id: int) -> None:
        cursor.execute(self._done, (*self._key, id))

    def failed_again(self, cursor: Cursor[TupleRow], id: int, reason: str) -> None:
        cursor.execute(self._failed, (_readable(reason), *self._key, id))


def _readable(reason: str) -> str:
    # NUL is the one character that Postgres' text can't hold.
    return reason.replace("\0", "\\0")[:REASON_LENGTH]
