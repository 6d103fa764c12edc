"""The outbox: private events of a service's store become public ones in its stream, each once and in order.

The stream itself says how far it is; each batch is atomic and fenced by the stream's last sequence, so that relays in
several processes may run at once, and one that was frozen can't publish again what another did.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, NoReturn, Protocol
from uuid import uuid4

import nats.js.errors
import psycopg
from psycopg import Cursor
from psycopg.rows import TupleRow

from libs.bus import cloudevents
from libs.bus.cancelling import end_if_cancelled
from libs.bus.connect import Bus
from libs.bus.errors import NATS_ERRORS, BusUnavailable
from libs.bus.history import HistoryAsked, HistoryPage, Told, history_subject
from libs.bus.position import Position, Positions
from libs.bus.streams import ensure_events, events_stream
from libs.contracts.envelope import Event, encode

log = logging.getLogger("ezstat.bus.relay")

BATCH = 500
"""Private events read at a time."""
_MESSAGES = 1000  # what the server takes in one atomic batch
_HISTORY_BYTES = 512 << 10
_FENCED = 10071  # the server's number for: wrong last sequence
_QUIET = 5.0
_NATS_WITHIN = 30.0
_RETRY = 0.25
_RETRY_AT_MOST = 2.0


class Recorded(Protocol):
    """An event as `libs.eventstore.store` tells it."""

    @property
    def position(self) -> int: ...
    @property
    def event(self) -> Any: ...
    @property
    def trace(self) -> str: ...


class Log(Protocol):
    """What a relay needs of an event store (`libs.eventstore.store.EventStore`)."""

    service: str

    def events_after(self, position: int, limit: int) -> Sequence[Recorded]: ...
    def transaction(self) -> AbstractContextManager[Cursor[TupleRow]]: ...
    async def changed(self, within: float) -> None: ...


Publish = Callable[[Any], Sequence[Event]]


class _Public(NamedTuple):
    position: int
    told: Told


class Relay:
    """Publishes for one service; `publish` gives the public events of a private one, or none."""

    def __init__(self, store: Log, bus: Bus, publish: Publish) -> None:
        self._store, self._bus, self._publish = store, bus, publish
        self._stream = events_stream(store.service)
        self._positions = Positions(store.service, "relay", 0)
        self._place = Position()
        self._moved = False
        self.trouble = "starting"

    async def run(self) -> NoReturn:
        """Relay for ever; waits while Postgres or NATS is away. Errors that waiting can't heal escape."""
        await self._bus.answer(history_subject(self._store.service), HistoryAsked, self._tell, self._store.service)
        pause = 0.0
        while True:
            end_if_cancelled()
            try:
                await self._relay()
            except Exception as error:
                if not _passes(error):
                    log.exception("relay of %s stops: this must be looked at", self._store.service)
                    raise
                self._log_trouble(error)
            pause = _RETRY if self._moved or not pause else min(2 * pause, _RETRY_AT_MOST)
            self._moved = False
            # Two relays that meet at the fence must not meet there again.
            await asyncio.sleep(pause * (0.5 + random.random()))  # noqa: S311

    def _log_trouble(self, error: Exception) -> None:
        trouble = str(error).strip() or type(error).__name__
        if isinstance(error, nats.js.errors.APIError) and error.err_code == _FENCED:
            log.debug("relay of %s: another one was faster", self._store.service)
        elif trouble != self.trouble:
            log.warning("relay of %s waits: %s", self._store.service, trouble)
        self.trouble = trouble

    async def _relay(self) -> None:
        await self._bus.wait(_NATS_WITHIN)
        await ensure_events(self._bus, self._store.service)
        self._place = await self._where()
        self.trouble = ""
        while True:
            end_if_cancelled()
            page = await asyncio.to_thread(self._store.events_after, self._place.source, BATCH)
            if page:
                await self._publish_page(page)
                self._moved = True
            if len(page) < BATCH:
                await self._store.changed(_QUIET)

    async def _where(self) -> Position:
        """The end of the stream, and the store's position it stands for.

        The stream's last message says it. When that is gone (three days without events), and to skip private events
        that say nothing, what was noted in Postgres counts, as long as it speaks of this stream and no later end.
        """
        info = await self._bus.js.stream_info(self._stream)
        noted = await asyncio.to_thread(self._noted)
        last = info.state.last_seq
        source = noted.source if noted.created == info.created and noted.stream <= last else 0
        if info.state.messages:
            newest = await self._bus.js.get_msg(self._stream, last)
            source = max(source, cloudevents.position_of(cloudevents.number_in(newest.headers or {})))
        return Position(last, info.created, source)

    def _noted(self) -> Position:
        with self._store.transaction() as cursor:
            return self._positions.read(cursor)

    async def _publish_page(self, page: Sequence[Recorded]) -> None:
        for batch in _batches(self._public(page)):
            last = await self._publish_batch([public.told for public in batch])
            self._place = self._place._replace(stream=last, source=batch[-1].position)
        self._place = self._place._replace(source=page[-1].position)
        await asyncio.to_thread(self._note, self._place)

    def _note(self, place: Position) -> None:
        with self._store.transaction() as cursor:
            self._positions.note(cursor, place)

    def _public(self, page: Sequence[Recorded]) -> Iterator[list[_Public]]:
        """For each private event its public ones, which must stay together."""
        for recorded in page:
            public = []
            for index, event in enumerate(self._publish(recorded.event)):
                number = cloudevents.number_of(recorded.position, index)
                headers = cloudevents.headers(event, number, recorded.trace)
                public.append(_Public(recorded.position, Told(event.subject(), headers, encode(event))))
            if public:
                yield public

    async def _publish_batch(self, events: Sequence[Told]) -> int:
        """All of them or none, and only at the end we know of. Returns the stream's new last sequence."""
        fence = {"Nats-Expected-Last-Sequence": str(self._place.stream)}
        batch = uuid4().hex
        for number, told in enumerate(events, 1):
            headers = told.headers | (fence if number == 1 else {})
            if len(events) > 1:
                headers |= {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}
            if number < len(events):
                await self._bus.nc.publish(told.subject, told.body, headers=headers)
                continue
            if len(events) > 1:
                headers["Nats-Batch-Commit"] = "1"
            ack = await self._bus.js.publish(told.subject, told.body, headers=headers)
        return ack.seq

    async def _tell(self, asked: HistoryAsked) -> HistoryPage:
        page = await asyncio.to_thread(self._store.events_after, asked.position, BATCH)
        told: list[Told] = []
        position, size = asked.position, 0
        for recorded in page:
            public = [each for event in self._public([recorded]) for each in event]
            size += sum(len(each.told.body) + 512 for each in public)
            if told and size > _HISTORY_BYTES:
                return HistoryPage(events=told, position=position, complete=False)
            told += [each.told for each in public]
            position = recorded.position
        return HistoryPage(events=told, position=position, complete=len(page) < BATCH)


def _batches(events: Iterator[list[_Public]]) -> Iterator[list[_Public]]:
    batch: list[_Public] = []
    for together in events:
        if len(together) > _MESSAGES:
            raise ValueError(f"one event became {len(together)} public ones, more than fit a batch")
        if len(batch) + len(together) > _MESSAGES:
            yield batch
            batch = []
        batch += together
    if batch:
        yield batch


def _passes(error: Exception) -> bool:
    passing = (BusUnavailable, psycopg.OperationalError, psycopg.InterfaceError, nats.js.errors.APIError, *NATS_ERRORS)
    return isinstance(error, passing) or isinstance(error.__cause__, psycopg.OperationalError | psycopg.InterfaceError)
