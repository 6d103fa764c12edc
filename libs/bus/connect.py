"""The connection to NATS: made in the background, for ever, and truthful about whether it works right now."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from libs.bus import trace
from libs.bus.cancelling import end_if_cancelled
from libs.bus.errors import NATS_ERRORS, BusUnavailable
from libs.contracts.envelope import decode, encode

log = logging.getLogger("ezstat.bus.connect")
T = TypeVar("T")
Handler = Callable[[Msg], Awaitable[None]]

PULSE = 0.5
"""Seconds between the messages that a bus sends itself to see whether the server still answers."""
SILENT = 4
"""Unanswered ones after which the server counts as hung."""
_FAILED = "Ez-Failed"


@dataclass(frozen=True)
class _Subscription:
    subject: str
    handler: Handler
    queue: str


class Bus:
    """One connection per process. `nc` and `js` are nats-py's own objects; take them from here each time they are used,
    because a connection that the server closed for good is replaced by a new one."""

    def __init__(self, url: str, name: str) -> None:
        self.url = url
        self.name = name
        self.nc = Client()
        self.js: JetStreamContext = self.nc.jetstream()
        self._connected = asyncio.Event()
        self._subscriptions: list[_Subscription] = []
        self._lost: list[Callable[[], None]] = []
        self._back: list[Callable[[], None]] = []
        self._enlisted = 0
        self._unanswered = 0
        self._inbox = ""
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def start(cls, url: str, name: str) -> "Bus":
        """A bus that connects in the background, now and after every loss. Never fails because NATS is down."""
        bus = cls(url, name)
        bus._task = asyncio.create_task(bus._live(), name=f"bus {name}")
        return bus

    @property
    def connected(self) -> bool:
        """Whether the server answered within the last seconds. nats-py itself says yes over a hung server."""
        return self._connected.is_set()

    async def wait(self, timeout: float) -> None:  # noqa: ASYNC109  (the interface others were promised)
        """Return once connected. Raises `BusUnavailable` when that takes longer than `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._connected.wait()
        except TimeoutError:
            raise BusUnavailable(f"no NATS within {timeout} s") from None

    def on_lost(self, callback: Callable[[], None]) -> None:
        """Call back, synchronously, each time the connection turns out not to work any more."""
        self._lost.append(callback)

    def on_back(self, callback: Callable[[], None]) -> None:
        """Call back each time the connection works (again), the first time included."""
        self._back.append(callback)

    # -- core NATS ----------------------------------------------------------------------------------------------------

    async def broadcast(self, subject: str, message: msgspec.Struct) -> None:
        """To everybody who listens now; nobody may. Raises `BusUnavailable`."""
        await self._publish(subject, encode(message))

    async def listen(
        self, subject: str, kind: type[T], handler: Callable[[T], Awaitable[msgspec.Struct | None]]
    ) -> None:
        """Handle every broadcast, for ever. What the handler returns is sent to who asked for replies (`survey`)."""

        async def handle(message: Msg) -> None:
            with trace.following((message.headers or {}).get(trace.HEADER)):
                try:
                    answer = await handler(decode(message.data, kind))
                except Exception:
                    log.exception("handling %s failed", subject)
                    return
                if answer is not None and message.reply:
                    await message.respond(encode(answer))

        await self.subscribe(subject, handle)

    async def survey(
        self, subject: str, message: msgspec.Struct, kind: type[T], within: float, enough: Callable[[list[T]], bool]
    ) -> list[T]:
        """Ask everybody who listens; returns the answers once `enough` says so, or those that came `within` seconds."""
        answers: list[T] = []
        done = asyncio.Event()

        async def collect(reply: Msg) -> None:
            if reply.data:
                answers.append(decode(reply.data, kind))
                if enough(answers):
                    done.set()

        inbox = self.nc.new_inbox()
        try:
            subscription = await self.nc.subscribe(inbox, cb=collect)
        except NATS_ERRORS as error:
            raise BusUnavailable(str(error)) from error
        try:
            await self._publish(subject, encode(message), inbox)
            with suppress(TimeoutError):
                async with asyncio.timeout(within):
                    await done.wait()
            return list(answers)
        finally:
            with suppress(*NATS_ERRORS):
                await subscription.unsubscribe()

    async def request(
        self,
        subject: str,
        message: msgspec.Struct,
        kind: type[T],
        timeout: float = 2.0,  # noqa: ASYNC109
    ) -> T:
        """Ask one of those who `answer`. Raises `BusUnavailable`: nobody there, too slow, or failed at it."""
        if not self.connected:
            raise BusUnavailable("not connected")
        try:
            reply = await self.nc.request(subject, encode(message), timeout, headers=_headers())
        except NATS_ERRORS as error:
            raise BusUnavailable(f"{subject}: {error or type(error).__name__}") from error
        if failure := (reply.headers or {}).get(_FAILED):
            raise BusUnavailable(f"{subject}: {failure}")
        return decode(reply.data, kind)

    async def answer(
        self, subject: str, kind: type[T], handler: Callable[[T], Awaitable[msgspec.Struct]], queue: str
    ) -> None:
        """Answer requests, for ever, at the same time when several come; `queue` names those who share the work."""
        running: set[asyncio.Task[None]] = set()

        async def reply(message: Msg) -> None:
            with trace.following((message.headers or {}).get(trace.HEADER)):
                try:
                    body, headers = encode(await handler(decode(message.data, kind))), None
                except Exception as error:
                    log.exception("answering %s failed", subject)
                    # The one who asked learns that it failed, not why: that may name what is not theirs to see.
                    body, headers = b"", {_FAILED: type(error).__name__}
                with suppress(*NATS_ERRORS):
                    await self.nc.publish(message.reply, body, headers=headers)

        async def start(message: Msg) -> None:
            task = asyncio.create_task(reply(message))
            running.add(task)
            task.add_done_callback(running.discard)

        await self.subscribe(subject, start, queue)

    async def subscribe(self, subject: str, handler: Handler, queue: str = "") -> None:
        """Raw messages of a subject, for ever: over reconnects and over replaced connections."""
        self._subscriptions.append(_Subscription(subject, handler, queue))
        if self.nc.is_connected:
            await self._enlist()

    async def _enlist(self) -> None:
        """Subscribe what this connection does not have yet; nats-py itself repeats after a reconnect what it has."""
        while self._enlisted < len(self._subscriptions):
            wanted = self._subscriptions[self._enlisted]
            self._enlisted += 1
            await self.nc.subscribe(
                wanted.subject, wanted.queue, cb=wanted.handler, pending_msgs_limit=-1, pending_bytes_limit=-1
            )

    async def _publish(self, subject: str, body: bytes, reply: str = "") -> None:
        if not self.connected:
            raise BusUnavailable("not connected")
        try:
            await self.nc.publish(subject, body, reply, headers=_headers())
        except NATS_ERRORS as error:
            raise BusUnavailable(str(error) or type(error).__name__) from error

    # -- staying connected --------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        while True:
            end_if_cancelled()
            closed = asyncio.Event()
            try:
                await self._connect(closed)
                await self._beat(closed)
            except NATS_ERRORS as error:
                log.warning("connecting to NATS failed: %s", error or type(error).__name__)
            self._down("closed by the server")
            await asyncio.sleep(1)

    async def _connect(self, closed: asyncio.Event) -> None:
        async def on_closed() -> None:
            closed.set()

        async def on_disconnected() -> None:
            self._down("connection lost")

        async def on_reconnected() -> None:
            await self._enlist()
            await self._pulse()

        async def on_error(error: Exception) -> None:
            log.debug("%s", error or type(error).__name__)

        self.nc = Client()
        self.js = self.nc.jetstream()
        self._enlisted = 0
        await self.nc.connect(
            self.url,
            name=self.name,
            # A buffer would send later what the caller was told had failed.
            pending_size=0,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.25,  # type: ignore[arg-type]  # seconds for asyncio.sleep; annotated as whole ones
            connect_timeout=2,
            ping_interval=5,
            max_outstanding_pings=2,
            error_cb=on_error,
            disconnected_cb=on_disconnected,
            closed_cb=on_closed,
            reconnected_cb=on_reconnected,
        )
        self._inbox = self.nc.new_inbox()
        await self.nc.subscribe(self._inbox, cb=self._echo)
        await self._enlist()

    async def _beat(self, closed: asyncio.Event) -> None:
        while not closed.is_set():
            # Counted, not timed: our own loop may have been busy for seconds, with the answers waiting unread.
            if self._unanswered >= SILENT:
                self._down("NATS does not answer")
            await self._pulse()
            with suppress(TimeoutError):
                async with asyncio.timeout(PULSE):
                    await closed.wait()

    async def _pulse(self) -> None:
        with suppress(*NATS_ERRORS):
            self._unanswered += 1
            await self.nc.publish(self._inbox, b"")

    async def _echo(self, _: Msg) -> None:
        self._unanswered = 0
        if not self.connected:
            log.info("connected to NATS as %s", self.name)
            self._connected.set()
            for callback in self._back:
                callback()

    def _down(self, why: str) -> None:
        if self.connected:
            log.error("NATS is away: %s", why)
            self._connected.clear()
            for callback in self._lost:
                callback()

    async def close(self) -> None:
        """Leave. Callbacks of `on_lost` run, so that nobody waits for what won't come."""
        while self._task is not None and not self._task.done():
            # More than once if need be: nats-py swallows a cancellation that meets it while it connects.
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=0.1)
        if self.connected:
            self._connected.clear()
            for callback in self._lost:
                callback()
        with suppress(*NATS_ERRORS):
            await self.nc.close()


def _headers() -> dict[str, str] | None:
    traceparent = trace.current()
    return {trace.HEADER: traceparent} if traceparent else None
