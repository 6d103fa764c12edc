"""A follower's transactions: effects, position and parked messages, all of them or none."""

import logging
from collections.abc import Sequence
from contextlib import suppress

import psycopg
from psycopg.rows import TupleRow

from libs.bus.parking import Parking
from libs.bus.position import Connects, Position, Positions
from libs.bus.pull import Message
from libs.bus.verdict import PASSING, Verdict, reason

log = logging.getLogger("ezstat.bus.ledger")


class Ledger:
    """Everything a follower does in Postgres, synchronously, on a connection of its own: belongs into one thread.

    Methods raise psycopg's errors, `DatabaseUnavailable`, `Rival` when another follower moved the position, and what
    the verdict raises; `position` is what the last successful transaction stored.
    """

    def __init__(
        self, database: Connects, verdict: Verdict, schema: str, follower: str, partition: int, title: str
    ) -> None:
        self._database, self._verdict, self._title = database, verdict, title
        self._positions = Positions(schema, follower, partition)
        self._parking = Parking(schema, follower, partition)
        self._connection: psycopg.Connection[TupleRow] | None = None
        self.position = Position()

    def claim(self) -> None:
        """Connect, keep others of this name out, and read where we are."""
        self._connection = self._database.connect()
        with self._connection.transaction(), self._connection.cursor() as cursor:
            self.position = self._positions.claim(cursor)

    def disconnect(self) -> None:
        """Forget everything that is not in Postgres, the session included: it may be what is broken."""
        self._verdict.forget()
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()

    def move(self, new: Position) -> None:
        connection = self._connected()
        with connection.transaction(), connection.cursor() as cursor:
            self._positions.move(cursor, self.position, new)
        self.position = new

    def transact(self, messages: Sequence[Message]) -> int:
        """Treat a batch; returns how many of it were parked at once."""
        connection = self._connected()
        try:
            with connection.transaction(), connection.cursor() as cursor:
                self._positions.hold(cursor)
                treated = self._verdict.treat(cursor, messages, self.position)
                for message, why in treated.parked:
                    self._parking.park(cursor, message, why)
                new = self.position._replace(stream=messages[-1].sequence, source=treated.source)
                self._positions.move(cursor, self.position, new)
        except BaseException:
            self._verdict.forget()
            raise
        self.position = new
        for message, why in treated.parked:
            log.error("%s: parked message %d: %s", self._title, message.sequence, why)
        return len(treated.parked)

    def park(self, message: Message, why: str) -> None:
        """Give up on a message and go on after it."""
        connection = self._connected()
        source = self._verdict.passed_over(message, self.position)
        new = self.position._replace(stream=message.sequence, source=source)
        with connection.transaction(), connection.cursor() as cursor:
            self._positions.move(cursor, self.position, new)
            self._parking.park(cursor, message, why)
        self.position = new
        log.error("%s: parked message %d: %s", self._title, message.sequence, why)

    def tidy(self) -> None:
        """The verdict's own upkeep, and the parked messages that a person wants tried again."""
        connection = self._connected()
        with connection.transaction(), connection.cursor() as cursor:
            self._verdict.tidy(cursor)
            due = self._parking.due(cursor)
        for id, message in due:
            self._replay(connection, id, message)

    def _replay(self, connection: psycopg.Connection[TupleRow], id: int, message: Message) -> None:
        try:
            with connection.transaction(), connection.cursor() as cursor:
                self._positions.move(cursor, self.position, self.position)  # keeps a rival out
                self._verdict.again(cursor, message)
                self._parking.replayed(cursor, id)
            log.info("%s: replayed parked message %d", self._title, message.sequence)
        except PASSING:
            raise
        except Exception as error:  # the person who asked is told; the message stays parked
            self._verdict.forget()
            log.error("%s: parked message %d again: %s", self._title, message.sequence, reason(error))
            with connection.transaction(), connection.cursor() as cursor:
                self._parking.failed_again(cursor, id, reason(error))

    def unannounced(self) -> list[tuple[int, Message, str]]:
        """Parked messages that the PARKED stream has no copy of: ids, messages, reasons."""
        connection = self._connected()
        with connection.transaction(), connection.cursor() as cursor:
            return self._parking.unannounced(cursor)

    def announced(self, ids: Sequence[int]) -> None:
        connection = self._connected()
        with connection.transaction(), connection.cursor() as cursor:
            self._parking.announced(cursor, ids)

    def _connected(self) -> psycopg.Connection[TupleRow]:
        if self._connection is None:
            raise psycopg.InterfaceError("no connection")
        return self._connection
