"""The loop that all followers share: take what came, one transaction for effects and position, then acknowledge.

Postgres or NATS may be away for any length of time: the loop waits, resets to the stored position, and goes on.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple, NoReturn, TypeVar

import nats.js.errors

from libs.bus.cancelling import end_if_cancelled
from libs.bus.connect import Bus
from libs.bus.errors import NATS_ERRORS
from libs.bus.ledger import Ledger
from libs.bus.position import Connects, Position, Rival
from libs.bus.pull import Message, Pull
from libs.bus.streams import PARKED, ensure_parked
from libs.bus.verdict import POISON, Verdict, passes, reason

log = logging.getLogger("ezstat.bus.following")
T = TypeVar("T")

TRIES = 3
"""How often a message that can't be handled is tried by itself before it is parked."""
HOUSEKEEPING = 5.0
_RETRY = 0.25
_NATS_WITHIN = 30.0
_RETRY_AT_MOST = 2.0


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
        self._bus = bus
        self._title = f"{schema}.{name} on {stream}"
        self._announce_subject = f"parked.{schema}.{name}"
        self._spacing = spacing
        self._earlier = earlier
        self._pull = Pull(bus, stream, f"{schema}-{name}", subjects)
        self._ledger = Ledger(database, verdict, schema, follower, partition, self._title)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"{schema}-{name}")
        self._behind = 0
        self._tidied = 0.0
        self._moved = False
        self.trouble = "starting"

    @property
    def position(self) -> int:
        """Stream sequence of the last message whose effects are stored."""
        return self._ledger.position.stream

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
                    if not passes(error):
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
        await self._in_thread(self._ledger.claim)
        await self._open()
        if self.trouble:
            log.info("%s goes on after %d", self._title, self.position)
            self.trouble = ""
        while True:
            end_if_cancelled()
            messages = await self._pull.take(HOUSEKEEPING)
            if messages:
                await self._handle(messages)
            if time.monotonic() - self._tidied > HOUSEKEEPING:
                await self._keep_house()

    async def _open(self) -> None:
        facts, position = await self._pull.facts(), self._ledger.position
        if facts.created != (position.created or facts.created) or facts.last < position.stream:
            log.error("%s: the stream was made anew; following it from its start", self._title)
            await self._in_thread(self._ledger.move, Position(0, facts.created, position.source))
        elif position.created is None:
            await self._in_thread(self._ledger.move, position._replace(created=facts.created))
        if facts.first > self.position + 1:
            await self._catch_up(facts.first)
        self._behind = await self._pull.open(self.position)

    async def _catch_up(self, first: int) -> None:
        """The stream begins after our place in it."""
        if self._earlier is None:
            if self.position:
                log.error("%s: messages %d to %d are gone", self._title, self.position + 1, first - 1)
            return
        log.info("%s: asking the producer for what the stream holds no more", self._title)
        complete = False
        while not complete:
            messages, source, complete = await self._earlier(self._ledger.position)
            if messages:
                await self._take_in(messages)
            reached = self._ledger.position
            await self._in_thread(self._ledger.move, reached._replace(source=max(source, reached.source)))

    async def _take_in(self, messages: Sequence[Message]) -> None:
        try:
            if await self._in_thread(self._ledger.transact, messages):
                self._tidied = 0.0
        except POISON as error:
            log.error("%s: %s in a batch of %d; one by one now", self._title, reason(error), len(messages))
            for message in messages:
                await self._handle_alone(message)
        self._moved = True

    async def _handle(self, messages: Sequence[Message]) -> None:
        started = time.monotonic()
        await self._take_in(messages)
        self._behind = self._pull.pending
        await self._pull.ack(messages[-1])
        if self._spacing:
            # An idle follower answers at once, as the pause comes after. One whose transactions outlast the pause makes
            # fewer and larger ones: that leaves the cores to the requests.
            busy = time.monotonic() - started
            pause = self._spacing if busy < self._spacing else min(2 * busy, 10 * self._spacing)
            await asyncio.sleep(pause)

    async def _handle_alone(self, message: Message) -> None:
        for attempt in range(1, TRIES + 1):
            try:
                await self._in_thread(self._ledger.transact, [message])
                return
            except POISON as error:
                why = reason(error)
                log.error("%s: message %d, try %d: %s", self._title, message.sequence, attempt, why)
                await asyncio.sleep(_RETRY)
        await self._in_thread(self._ledger.park, message, why)
        self._tidied = 0.0

    async def _keep_house(self) -> None:
        self._tidied = time.monotonic()
        await self._in_thread(self._ledger.tidy)
        waiting = await self._in_thread(self._ledger.unannounced)
        if waiting:
            await ensure_parked(self._bus)
        for id, message, why in waiting:
            headers = {
                "Nats-Msg-Id": f"{self._announce_subject}:{id}",
                "Ez-Stream": message.stream,
                "Ez-Sequence": str(message.sequence),
                "Ez-Reason": why.replace("\n", " "),
            }
            try:
                await self._bus.js.publish(self._announce_subject, message.data, stream=PARKED, headers=headers)
            except nats.js.errors.APIError as error:
                log.error("%s: PARKED takes no copy of message %d: %s", self._title, message.sequence, error)
        if waiting:
            await self._in_thread(self._ledger.announced, [id for id, _, _ in waiting])

    async def _in_thread(self, call: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    async def _reset(self) -> None:
        await self._pull.close()
        await self._in_thread(self._ledger.disconnect)

    async def _end(self) -> None:
        """The thread finishes the transaction it is in, whatever cancelled us: then nothing is left half-known."""
        await asyncio.shield(self._reset())
        self._thread.shutdown(wait=False)
