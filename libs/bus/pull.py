"""A durable pull consumer that never skips: acknowledge-all, reset to our own position, consecutive numbers or nothing.

Explicit acks with nak lost 84 of 88 transiently failed events; this way none of 16,030 was lost under crashes. The
consumer's own memory of what was delivered is never trusted: the position is ours.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import NamedTuple

import msgspec
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from libs.bus.connect import Bus
from libs.bus.errors import NATS_ERRORS

HEARTBEAT = 2.0
SILENCE = 5.0
"""Seconds without message or heartbeat after which the line counts as dead."""
_EXPIRES = 30.0
_FILLED = ("Batch Completed", "Message Size Exceeds MaxBytes")  # 409s by which a request ends as it should


class LineBroken(Exception):
    """What comes may not be complete: begin again from the stored position."""


class Message(NamedTuple):
    """A message of a stream; `sequence` is the stream's."""

    stream: str
    sequence: int
    subject: str
    headers: dict[str, str]
    data: bytes
    reply: str = ""


class StreamFacts(NamedTuple):
    """What a follower must know of its stream before it starts."""

    created: datetime | None
    first: int
    last: int


class _Ask(msgspec.Struct, omit_defaults=True):
    batch: int
    max_bytes: int
    expires: int
    idle_heartbeat: int


class Pull:
    """Messages of a stream from a position on, in order, in batches of up to `most` messages and about `most_bytes`."""

    def __init__(
        self,
        bus: Bus,
        stream: str,
        durable: str,
        subjects: Sequence[str] = (),
        most: int = 1000,
        most_bytes: int = 8 << 20,
    ) -> None:
        self._bus = bus
        self.stream = stream
        self.durable = durable
        self._subjects = list(subjects)
        self._most, self._most_bytes = most, most_bytes
        self._buffer: deque[Message] = deque()
        self._buffered = 0
        self._came = asyncio.Event()
        self._broken = "not open"
        self._heard = 0.0
        self._expected = 1
        self._last = 0
        self._asked = 0
        self._remaining = 0
        self._inbox = ""
        self._subscription: Subscription | None = None
        self.pending = 0
        bus.on_lost(lambda: self._break("connection lost"))

    async def facts(self) -> StreamFacts:
        """Raises nats-py's errors, `NotFoundError` when there is no such stream."""
        info = await self._bus.js.stream_info(self.stream)
        return StreamFacts(info.created, info.state.first_seq, info.state.last_seq)

    async def open(self, position: int) -> int:
        """Messages after `position` from now on; returns how many wait there. Raises nats-py's errors."""
        await self.close()
        await self._bus.js.add_consumer(self.stream, self._configuration())
        self._buffer.clear()
        self._buffered, self._expected, self._last, self._remaining = 0, 1, position, 0
        self._inbox = self._bus.nc.new_inbox()
        self._subscription = await self._bus.nc.subscribe(
            f"{self._inbox}.*", cb=partial(self._receive, self._inbox), pending_msgs_limit=-1, pending_bytes_limit=-1
        )
        done = await self._bus.js.reset_consumer(self.stream, self.durable, seq=position + 1)
        self._heard = time.monotonic()
        self._broken = "" if self._bus.connected else "not connected"
        return done.info.num_pending or 0

    async def behind(self) -> int:
        """How many messages were not acknowledged yet. Raises nats-py's errors."""
        info = await self._bus.js.consumer_info(self.stream, self.durable)
        return (info.num_pending or 0) + (info.num_ack_pending or 0)

    def _configuration(self) -> ConsumerConfig:
        return ConsumerConfig(
            durable_name=self.durable,
            filter_subjects=self._subjects or None,
            ack_policy=AckPolicy.ALL,
            deliver_policy=DeliverPolicy.ALL,
            # Nothing relies on redelivery; it only must not come while a slow transaction is under way.
            ack_wait=300,
            max_ack_pending=20 * self._most,
            max_waiting=8,
        )

    async def close(self) -> None:
        subscription, self._subscription = self._subscription, None
        self._break("closed")
        if subscription is not None:
            with suppress(*NATS_ERRORS):
                await subscription.unsubscribe()

    async def take(self, within: float) -> list[Message]:
        """All messages that are here; none when `within` seconds passed without. Raises `LineBroken`, nats errors."""
        self._check()
        if not self._buffer:
            await self._ask()
            self._came.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(within, SILENCE)):
                    await self._came.wait()
            self._check()
            if not self._buffer and time.monotonic() - self._heard > SILENCE:
                raise LineBroken("no heartbeat")
        taken = self._cut()
        await self._ask()
        return taken

    def _check(self) -> None:
        if self._broken:
            raise LineBroken(self._broken)

    def _cut(self) -> list[Message]:
        taken: list[Message] = []
        size = 0
        while self._buffer and len(taken) < self._most and size < self._most_bytes:
            message = self._buffer.popleft()
            taken.append(message)
            size += len(message.data)
        self._buffered -= size
        return taken

    async def ack(self, message: Message) -> None:
        """Everything up to here is safe. Only a hint to the server: after a loss the position decides."""
        await self._bus.nc.publish(message.reply, b"+ACK")

    async def _ask(self) -> None:
        if self._remaining > 0 or len(self._buffer) >= self._most or self._buffered >= self._most_bytes:
            return
        self._asked += 1
        self._remaining = self._most
        ask = _Ask(self._most, self._most_bytes, int(_EXPIRES * 1e9), int(HEARTBEAT * 1e9))
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self.stream}.{self.durable}"
        await self._bus.nc.publish(subject, msgspec.json.encode(ask), f"{self._inbox}.{self._asked}")

    async def _receive(self, inbox: str, message: Msg) -> None:
        if inbox != self._inbox:
            return None  # of a line that was given up
        self._heard = time.monotonic()
        if not message.reply.startswith("$JS.ACK."):
            return await self._status(message)
        stream_sequence, consumer_sequence, self.pending = _numbers(message.reply)
        if consumer_sequence != self._expected:
            return self._break(f"message {consumer_sequence} of the consumer came where {self._expected} was due")
        self._expected += 1
        self._remaining -= 1
        if stream_sequence <= self._last:
            return None  # delivered again because of ack_wait
        self._last = stream_sequence
        self._buffer.append(
            Message(self.stream, stream_sequence, message.subject, message.headers or {}, message.data, message.reply)
        )
        self._buffered += len(message.data)
        self._came.set()
        return None

    async def _status(self, message: Msg) -> None:
        """A heartbeat (100), or why a request ended before it was filled."""
        headers = message.headers or {}
        status, description = headers.get("Status", ""), headers.get("Description", "")
        if status == "100" or message.subject != f"{self._inbox}.{self._asked}":
            return
        self._remaining = 0
        if status in ("404", "408") or description in _FILLED:
            if not self._broken:
                await self._ask()
        else:
            self._break(f"{status} {description or 'no such consumer'}")

    def _break(self, why: str) -> None:
        self._broken = self._broken or why
        self._came.set()


def _numbers(reply: str) -> tuple[int, int, int]:
    """Stream sequence, consumer sequence and what is still pending, out of an ack subject (ADR-15: 9 tokens, or 11 and
    more with domain and account hash)."""
    tokens = reply.split(".")
    at = 5 if len(tokens) == 9 else 7
    return int(tokens[at]), int(tokens[at + 1]), int(tokens[at + 3])
