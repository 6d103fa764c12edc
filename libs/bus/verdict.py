"""What a plane says about messages, and what its errors mean to the follower that asked it."""

from collections.abc import Sequence
from typing import Protocol

import msgspec
import psycopg
from psycopg import Cursor
from psycopg.rows import TupleRow

from libs.bus.errors import NATS_ERRORS, BusUnavailable
from libs.bus.position import Position, Rival
from libs.bus.pull import LineBroken, Message


class Poison(Exception):
    """This message will never be handled, however often it is tried; raised by handlers, with the reason."""


POISON = (Poison, msgspec.MsgspecError, ValueError, ArithmeticError, psycopg.DataError, psycopg.IntegrityError)
"""Errors that are about a message's content. Any other error is a bug or a fault of ours: nothing is parked for it."""
PASSING = (psycopg.OperationalError, psycopg.InterfaceError, LineBroken, Rival, BusUnavailable, *NATS_ERRORS)
"""Errors of lines and servers: waiting helps."""


class Treated:
    """What came of a batch: messages to park at once, and the producer's position after it."""

    __slots__ = ("parked", "source")

    def __init__(self, source: int) -> None:
        self.parked: list[tuple[Message, str]] = []
        self.source = source


class Verdict(Protocol):
    """What a plane does with messages. Everything runs in the follower's thread, inside a transaction."""

    def treat(self, cursor: Cursor[TupleRow], messages: Sequence[Message], position: Position) -> Treated:
        """Effects of the messages, in the transaction of the position."""
        ...

    def again(self, cursor: Cursor[TupleRow], message: Message) -> None:
        """The effect of one parked message; raises when it still can't be handled."""
        ...

    def passed_over(self, message: Message, position: Position) -> int:
        """The producer's position once this message is parked."""
        ...

    def tidy(self, cursor: Cursor[TupleRow]) -> None:
        """Now and then."""
        ...

    def forget(self) -> None:
        """A transaction failed: what memory says about the tables may be wrong."""
        ...


def passes(error: Exception) -> bool:
    """Whether waiting helps: `PASSING`, and our own `DatabaseUnavailable`, known here by its cause."""
    return isinstance(error, PASSING) or isinstance(error.__cause__, psycopg.OperationalError | psycopg.InterfaceError)


def reason(error: BaseException) -> str:
    """An error as a person reads it next to a parked message."""
    return f"{type(error).__name__}: {error}".strip()
