"""The control plane's follower: public events of other services, each handled once and in order, with own effects."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from inspect import iscoroutinefunction
from typing import Any, TypeVar

import msgspec
from psycopg import Cursor
from psycopg.rows import TupleRow

from libs.bus import cloudevents, trace
from libs.bus.connect import Bus
from libs.bus.following import Earlier, Following
from libs.bus.history import HistoryAsked, HistoryPage, history_subject
from libs.bus.position import Connects, Position
from libs.bus.pull import Message
from libs.bus.streams import events_stream
from libs.bus.verdict import Poison, Treated
from libs.contracts.envelope import Event, decode

E = TypeVar("E", bound=Event)
Handler = Callable[[Cursor[TupleRow], Any], None]


class Follower:
    """Follows the streams of all services whose event types it handles; one transaction per batch of events.

    A handler is a plain function of a synchronous cursor and the event; it never touches the network, and its effects
    are in the transaction of the position. Events of one service come in order, those of different services do not.
    """

    def __init__(
        self, bus: Bus, database: Connects, service: str, name: str, handlers: Mapping[type[Event], Handler]
    ) -> None:
        for kind, handler in handlers.items():
            if iscoroutinefunction(handler):
                raise TypeError(f"the handler of {kind.__name__} must be a plain function: it runs in a thread")
        by_producer: dict[str, dict[type[Event], Handler]] = defaultdict(dict)
        for kind, handler in handlers.items():
            by_producer[kind.SERVICE][kind] = handler
        self._following = [
            _follow_one(bus, database, service, name, producer, handled) for producer, handled in by_producer.items()
        ]

    async def run(self) -> None:
        """Follow for ever; an error that waiting can't heal escapes and ends all of it."""
        async with asyncio.TaskGroup() as tasks:
            for following in self._following:
                tasks.create_task(following.run())

    def lag(self) -> int:
        """How many events wait, over all streams."""
        return sum(following.lag() for following in self._following)

    @property
    def trouble(self) -> str:
        """Why it is not following right now; empty when it is."""
        return next((following.trouble for following in self._following if following.trouble), "")


def _follow_one(
    bus: Bus, database: Connects, service: str, name: str, producer: str, handled: Mapping[type[Event], Handler]
) -> Following:
    handling = _Handling(bus, producer, handled)
    return Following(
        bus,
        database,
        handling,
        schema=service,
        name=name,
        stream=events_stream(producer),
        follower=f"{name}@{producer}",
        subjects=[f"{kind.type_name()}.*" for kind in handled],
        earlier=handling.earlier,
    )


class _Handling:
    """Events of one producer, to their handlers."""

    def __init__(self, bus: Bus, producer: str, handled: Mapping[type[Event], Handler]) -> None:
        self._bus, self._producer = bus, producer
        self._handled = {kind.type_name(): (kind, handler) for kind, handler in handled.items()}

    def treat(self, cursor: Cursor[TupleRow], messages: Sequence[Message], position: Position) -> Treated:
        treated = Treated(position.source)
        for message in messages:
            try:
                number = cloudevents.number_in(message.headers)
            except ValueError as error:
                treated.parked.append((message, f"not a CloudEvent of ours: {error}"))
                continue
            # The stream may be told anew, from its producer's store: what was handled is known by the event's number.
            if number > treated.source:
                self._handle_or_park(cursor, message, treated)
                treated.source = number
        return treated

    def _handle_or_park(self, cursor: Cursor[TupleRow], message: Message, treated: Treated) -> None:
        kind, handler = self._handled.get(message.headers.get("ce-type", ""), (None, None))
        if kind is None or handler is None:
            return
        try:
            event = decode(message.data, kind)
        except msgspec.MsgspecError as error:
            treated.parked.append((message, f"{type(error).__name__}: {error}"))
            return
        with trace.following(message.headers.get(trace.HEADER)):
            handler(cursor, event)

    def again(self, cursor: Cursor[TupleRow], message: Message) -> None:
        kind, handler = self._handled.get(message.headers.get("ce-type", ""), (None, None))
        if kind is None or handler is None:
            raise Poison("not an event that is handled here")
        with trace.following(message.headers.get(trace.HEADER)):
            handler(cursor, decode(message.data, kind))

    async def earlier(self, position: Position) -> Earlier:
        """Events that the stream holds no more, from the producer's store. Raises `BusUnavailable`."""
        # One before, as an event in the store may have become several, not all of them handled.
        asked = HistoryAsked(position=max(0, cloudevents.position_of(position.source) - 1))
        page = await self._bus.request(history_subject(self._producer), asked, HistoryPage, timeout=10)
        stream = events_stream(self._producer)
        messages = [Message(stream, position.stream, told.subject, told.headers, told.body) for told in page.events]
        return Earlier(
            messages, cloudevents.number_of(page.position, cloudevents.CONTRACTS_PER_EVENT - 1), page.complete
        )

    def passed_over(self, message: Message, position: Position) -> int:
        return max(position.source, cloudevents.number_in(message.headers))

    def forget(self) -> None:
        """Nothing is kept in memory."""

    def tidy(self, cursor: Cursor[TupleRow]) -> None:
        """Nothing grows."""
