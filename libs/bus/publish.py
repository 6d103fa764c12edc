"""Frames into a stream, many a second: one inbox for all acknowledgements, no task and no timer per message."""

import asyncio
import logging
import time
from collections import deque
from typing import NamedTuple

import msgspec
import nats.errors
from nats.aio.msg import Msg

from libs.bus.cancelling import end_if_cancelled
from libs.bus.connect import Bus
from libs.bus.errors import NATS_ERRORS, BusUnavailable, StreamRefused

log = logging.getLogger("ezstat.bus.publish")

ACK_WITHIN = 2.0
"""Seconds after which a publish without acknowledgement fails; it may still be stored (a ghost)."""
_SWEEP = 0.25


class _ApiError(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _PubAck(msgspec.Struct):
    seq: int = 0
    duplicate: bool = False
    error: _ApiError | None = None


class _Flight(NamedTuple):
    future: asyncio.Future[int]
    deadline: float


_decode = msgspec.json.Decoder(_PubAck).decode


class FramePublisher:
    """Publishes with JetStream acknowledgement. nats-py's `js.publish` does the same at several times the cost."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._inbox = bus.nc.new_inbox()
        self._number = 0
        self._waiting: deque[tuple[str, str, str, bytes]] = deque()
        self._flying: dict[str, _Flight] = {}
        self._something = asyncio.Event()
        self._tasks = [asyncio.create_task(self._send()), asyncio.create_task(self._sweep())]
        bus.on_lost(self._fail_all)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._fail_all()

    def publish(self, subject: str, message_id: str, payload: bytes) -> asyncio.Future[int]:
        """Publish now; the future gives the message's stream sequence.

        It raises `StreamRefused`, or `BusUnavailable`: at once when disconnected, for everything in flight when the
        connection is lost, and after `ACK_WITHIN` seconds. `message_id` is the Nats-Msg-Id.
        """
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if not self._bus.connected:
            future.set_exception(BusUnavailable("not connected"))
            return future
        self._number += 1
        reply = f"{self._inbox}.{self._number}"
        self._flying[reply] = _Flight(future, time.monotonic() + ACK_WITHIN)
        self._waiting.append((subject, reply, message_id, payload))
        self._something.set()
        return future

    async def _send(self) -> None:
        """nats-py's publish is a coroutine that does not suspend: one task drives it for all messages."""
        await self._bus.subscribe(f"{self._inbox}.*", self._acknowledged)
        while True:
            end_if_cancelled()
            await self._something.wait()
            self._something.clear()
            while self._waiting:
                subject, reply, message_id, payload = self._waiting.popleft()
                if reply not in self._flying:
                    continue
                try:
                    await self._bus.nc.publish(subject, payload, reply, headers={"Nats-Msg-Id": message_id})
                except nats.errors.MaxPayloadError as error:
                    self._fail(reply, StreamRefused(str(error)))
                except NATS_ERRORS as error:
                    self._fail(reply, BusUnavailable(str(error) or type(error).__name__))

    async def _acknowledged(self, message: Msg) -> None:
        flight = self._flying.pop(message.subject, None)
        if flight is None or flight.future.done():
            return
        if not message.data:
            flight.future.set_exception(BusUnavailable("no stream takes this subject now"))
            return
        ack = _decode(message.data)
        if ack.error is None:
            flight.future.set_result(ack.seq)
        elif ack.error.code == 503 and ack.error.err_code not in _FULL:
            flight.future.set_exception(BusUnavailable(ack.error.description))
        else:
            flight.future.set_exception(StreamRefused(ack.error.description))

    async def _sweep(self) -> None:
        """One timer for all: flights stand in the order of their deadlines."""
        while True:
            await asyncio.sleep(_SWEEP)
            now = time.monotonic()
            late = []
            for reply, flight in self._flying.items():
                if flight.deadline > now:
                    break
                late.append(reply)
            for reply in late:
                self._fail(reply, BusUnavailable(f"no acknowledgement within {ACK_WITHIN} s"))

    def _fail_all(self) -> None:
        self._waiting.clear()
        for reply in list(self._flying):
            self._fail(reply, BusUnavailable("connection lost"))

    def _fail(self, reply: str, error: Exception) -> None:
        flight = self._flying.pop(reply, None)
        if flight is not None and not flight.future.done():
            flight.future.set_exception(error)


_FULL = frozenset({10047, 10077, 10054})
"""JetStream's numbers for: no room left on the server, stream full, message too large."""
