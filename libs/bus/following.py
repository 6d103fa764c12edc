"""The loop that all followers share: take what came, one transaction for effects and position, then acknowledge.

Postgres or NATS may be away for any length of time: the loop waits, resets to the stored position, and goes on.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple, NoReturn, Protocol, TypeVar

import msgspec
import nats.js.errors
import psycopg
from psycopg import Cursor
from psycopg.rows import TupleRow

from libs.bus.cancelling import end_if_cancelled
from libs.bus.connect import Bus
from libs.bus.errors import NATS_ERRORS, BusUnavailable
from libs.bus.parking import Parking
from libs.bus.position import Connects, Position, Positions, Rival
from libs.bus.pull import LineBroken, Message, Pull
from libs.bus.streams import PARKED, ensure_parked

log = logging.getLogger("ezstat.bus.following")
T = TypeVar("T")

TRIES = 3
"""How often a message that can't be handled is tried by itself before it is parked."""
HOUSEKEEPING = 5.0
_RETRY = 0.25
_NATS_WITHIN = 30.0
_RETRY_AT_MOST = 2.0


class Poison(Exception):
    """This message will never be handled, however often it is tried; raised by handlers, with the reason."""


POISON = (Poison, msgspec.MsgspecError, ValueError, ArithmeticError, psycopg.DataError, psycopg.IntegrityError)
"""Errors that are about a message's content. Any other error is a bug or a fault of ours: nothing is parked for it."""
_PASSING = (psycopg.OperationalError, psycopg.InterfaceError, LineBroken, Rival, BusUnavailable, *NATS_ERRORS)


class Verdict(Protocol):
    """What a plane does with messages."""

    def treat(self, cursor: Cursor[TupleRow], messages: Sequence[Message], position: Position) -> "Treated":
        """Effects of the messages, inside the transaction of the position. Runs in the follower's thread."""
        ...

    def again(self, cursor: Cursor[TupleRow], message: Message) -> None:
        """The effect of one parked message, inside a transaction of its own; raises when it still can't be handled."""
        ...

    def forget(self) -> None:
        """A transaction failed: what memory says about the tables may be wrong."""
        ...

    def tidy(self, cursor: Cursor[TupleRow]) -> None:
        """Now and then, in a transaction of its own."""
        ...


class Treated:
    """What came of a batch: messages to park at once, and the producer's position after it."""

    __slots__ = ("parked", "source")

    def __init__(self, source: int) -> None:
        self.parked: list[tuple[Message, str]] = []
        self.source = source


class Earlier(NamedTuple):
    """What came before the stream's first message: messages that stand at the follower's own place in the stream, and
    the producer's position that they reach."""

    messages: list[Message]
    source: int
    complete: bool


class Following:
    """Runs a `Verdict` over a stream. All psycopg work happens in a thread of its own, so that the loop stays free."""

    def __init__(
        self,
        bus: Bus,
        database: Connects,
        verdict: Verdict,
        *,
        schema: str,
        name: str,
        stream: str,
        follower: str,
        partition: int = 0,
        subjects: Sequence[str] = (),
        spacing: float = 0.0,
        earlier: Callable[[Position], Awaitable[Earlier]] | None = None,
    ) -> None:
        self._bus, self._database, self._verdict = bus, database, verdict
        self._title = f"{schema}.{name} on {stream}"
        self._announce_subject = f"parked.{schema}.{name}"
        self._spacing = spacing
        self._earlier = earlier
        self._pull = Pull(bus, stream, f"{schema}-{name}", subjects)
        self._positions = Positions(schema, follower, partition)
        self._parking = Parking(schema, follower, partition)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"{schema}-{name}")
        self._connection: psycopg.Connection[TupleRow] | None = None
        self._position = Position()
        self._behind = 0
        self._tidied = 0.0
        self._moved = False
        self.trouble = "starting"

    @property
    def position(self) -> int:
        """Stream sequence of the last message whose effects are stored."""
        return self._position.stream

    def lag(self) -> int:
        """How many messages of the stream wait for this follower, as last heard."""
        return self._behind

    async def run(self) -> NoReturn:
        """Follow for ever. An error that is neither passing nor about a message's content escapes: it stops loudly."""
        pause = 0.0
        try:
            while True:
                end_if_cancelled()
                try:
                    await self._follow()
                except Exception as error:
                    if not _passes(error):
                        log.exception("%s stops: this must be looked at", self._title)
                        raise
                    self._log_trouble(error)
                    await self._measure()
                pause = _RETRY if self._moved or not pause else min(2 * pause, _RETRY_AT_MOST)
                self._moved = False
                await self._reset()
                await asyncio.sleep(pause)
        finally:
            await self._end()

    def _log_trouble(self, error: Exception) -> None:
        trouble = str(error).strip() or type(error).__name__
        if trouble != self.trouble:  # once per trouble, not once per try
            level = logging.INFO if isinstance(error, Rival) else logging.ERROR
            log.log(level, "%s waits: %s", self._title, trouble)
        self.trouble = trouble

    async def _measure(self) -> None:
        """The lag grows while we can't follow, and somebody may be watching it."""
        if self._bus.connected:
            with suppress(*NATS_ERRORS):
                self._behind = await self._pull.behind()

    async def _follow(self) -> None:
        await self._bus.wait(_NATS_WITHIN)
        self._position = await self._in_thread(self._claim)
        await self._open()
        if self.trouble:
            log.info("%s goes on after %d", self._title, self._position.stream)
            self.trouble = ""
        while True:
            end_if_cancelled()
            messages = await self._pull.take(HOUSEKEEPING)
            if messages:
                await self._handle(messages)
            if time.monotonic() - self._tidied > HOUSEKEEPING:
                await self._keep_house()

    async def _open(self) -> None:
        facts = await self._pull.facts()
        known = self._position.created or facts.created
        if facts.created != known or facts.last < self._position.stream:
            log.error("%s: the stream was made anew; following it from its start", self._title)
            await self._in_thread(self._move, Position(0, facts.created, self._position.source))
        elif self._position.created is None:
            await self._in_thread(self._move, self._position._replace(created=facts.created))
        if facts.first > self._position.stream + 1:
            await self._catch_up(facts.first)
        self._behind = await self._pull.open(self._position.stream)

    async def _catch_up(self, first: int) -> None:
        """The stream begins after our place in it."""
        if self._earlier is None:
            if self._position.stream:
                log.error("%s: messages %d to %d are gone", self._title, self._position.stream + 1, first - 1)
            return
        log.info("%s: asking the producer for what the stream holds no more", self._title)
        complete = False
        while not complete:
            messages, source, complete = await self._earlier(self._position)
            if messages:
                await self._take_in(messages)
            await self._in_thread(self._move, self._position._replace(source=max(source, self._position.source)))

    async def _take_in(self, messages: Sequence[Message]) -> None:
        try:
            await self._in_thread(self._transact, messages)
        except POISON as error:
            log.error("%s: %s in a batch of %d; one by one now", self._title, _reason(error), len(messages))
            for message in messages:
                await self._handle_alone(message)
        self._moved = True

    async def _handle(self, messages: Sequence[Message]) -> None:
        started = time.monotonic()
        await self._take_in(messages)
        self._behind = self._pull.pending
        await self._pull.ack(messages[-1])
        if self._spacing:
            # A busy writer leaves the cores to the requests; an idle one answers at once, as the pause comes after.
            busy = 3 * (time.monotonic() - started)
            await asyncio.sleep(min(max(busy, self._spacing), 10 * self._spacing))

    async def _handle_alone(self, message: Message) -> None:
        for attempt in range(1, TRIES + 1):
            try:
                return await self._in_thread(self._transact, [message])
            except POISON as error:
                reason = _reason(error)
                log.error("%s: message %d, try %d: %s", self._title, message.sequence, attempt, reason)
                await asyncio.sleep(_RETRY)
        await self._in_thread(self._park, message, reason)
        log.error("%s: parked message %d: %s", self._title, message.sequence, reason)
        self._tidied = 0.0
        return None

    async def _keep_house(self) -> None:
        self._tidied = time.monotonic()
        await self._in_thread(self._tidy)
        waiting = await self._in_thread(self._unannounced)
        if waiting:
            await ensure_parked(self._bus)
        for id, message, reason in waiting:
            headers = {
                "Nats-Msg-Id": f"{self._announce_subject}:{id}",
                "Ez-Stream": message.stream,
                "Ez-Sequence": str(message.sequence),
                "Ez-Reason": reason.replace("\n", " "),
            }
            try:
                await self._bus.js.publish(self._announce_subject, message.data, stream=PARKED, headers=headers)
            except nats.js.errors.APIError as error:
                log.error("%s: PARKED takes no copy of message %d: %s", self._title, message.sequence, error)
        if waiting:
            await self._in_thread(self._announced, [id for id, _, _ in waiting])

    # -- in the thread ------------------------------------------------------------------------------------------------

    async def _in_thread(self, call: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    def _connected(self) -> psycopg.Connection[TupleRow]:
        if self._connection is None:
            raise psycopg.InterfaceError("no connection")
        return self._connection

    def _claim(self) -> Position:
        self._connection = self._database.connect()
        with self._connection.transaction(), self._connection.cursor() as cursor:
            return self._positions.claim(cursor)

    def _move(self, new: Position) -> None:
        connection = self._connected()
        with connection.transaction(), connection.cursor() as cursor:
            self._positions.move(cursor, self._position, new)
        self._position = new

    def _transact(self, messages: Sequence[Message]) -> None:
        connection = self._connected()
        try:
            with connection.transaction(), connection.cursor() as cursor:
                treated = self._verdict.treat(cursor, messages, self._position)
                for message, reason in treated.parked:
                    self._parking.park(cursor, message, reason)
                new = self._position._replace(stream=messages[-1].sequence, source=treated.source)
                self._positions.move(cursor, self._position, new)
        except BaseException:
            self._verdict.forget()
            raise
        self._position = new
        for message, reason in treated.parked:
            log.error("%s: parked message %d: %s", self._title, message.sequence, reason)
            self._tidied = 0.0

    def _park(self, message: Message, reason: str) -> None:
        connection = self._connected()
        new = self._position._replace(stream=message.sequence)
        with connection.transaction(), connection.cursor() as cursor:
            self._positions.move(cursor, self._position, new)
            self._parking.park(cursor, message, reason)
        self._position = new

    def _tidy(self) -> None:
        connection = self._connected()
        with connection.transaction(), connection.cursor() as cursor:
            self._verdict.tidy(cursor)
            due = self._parking.due(cursor)
        for id, message in due:
            self._again(connection, id, message)

    def _again(self, connection: psycopg.Connection[TupleRow], id: int, message: Message) -> None:
        try:
            with connection.transaction(), connection.cursor() as cursor:
                self._positions.move(cursor, self._position, self._position)  # keeps a rival out
                self._verdict.again(cursor, message)
                self._parking.replayed(cursor, id)
            log.info("%s: replayed parked message %d", self._title, message.sequence)
        except _PASSING:
            raise
        except Exception as error:  # a person asked and is told; here, nothing was acknowledged that could get lost
            self._verdict.forget()
            log.error("%s: parked message %d again: %s", self._title, message.sequence, _reason(error))
            with connection.transaction(), connection.cursor() as cursor:
                self._parking.failed_again(cursor, id, _reason(error))

    def _unannounced(self) -> list[tuple[int, Message, str]]:
        connection = self._connected()
        with connection.transaction(), connection.cursor() as cursor:
            return self._parking.unannounced(cursor)

    def _announced(self, ids: Sequence[int]) -> None:
        connection = self._connected()
        with connection.transaction(), connection.cursor() as cursor:
            self._parking.announced(cursor, ids)

    # -- after an error, and at the end -------------------------------------------------------------------------------

    async def _reset(self) -> None:
        """Drop everything that is not in Postgres; the connection too, as its session may be what is broken."""
        await self._pull.close()
        await self._in_thread(self._disconnect)

    def _disconnect(self) -> None:
        self._verdict.forget()
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()

    async def _end(self) -> None:
        """The thread finishes the transaction it is in, whatever cancelled us: then nothing is left half-known."""
        await asyncio.shield(self._reset())
        self._thread.shutdown(wait=False)


def _passes(error: Exception) -> bool:
    """Whether waiting helps: everything about lines and servers, and our own `DatabaseUnavailable` by its cause."""
    return isinstance(error, _PASSING) or isinstance(error.__cause__, psycopg.OperationalError)


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".strip()
