"""Points as they land, for who is watching: one subscription per process, and only while somebody watches."""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

import msgspec
import numpy as np
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from libs.bus.connect import Bus
from libs.bus.errors import NATS_ERRORS
from libs.contracts.accounts import Mode
from libs.contracts.ingest import Frame, Source, decode_frame
from services.ingest import answers, sse

log = logging.getLogger("ezstat.ingest.live")

SUBJECT = "points.*"
EVERY = 0.1
MOST_POINTS = 1000
MOST_WAITING = 50
_REMEMBERED = 4096

Watched = tuple[UUID, Mode]


class Watcher:
    """Somebody who watches. `dropped`: they read too slowly."""

    def __init__(self) -> None:
        self.dropped = False
        self._waiting: deque[bytes] = deque()
        self._came = asyncio.Event()

    def tell(self, event: bytes) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self.dropped = True
            self._waiting.clear()
        else:
            self._waiting.append(event)
        self._came.set()

    async def following(self) -> bytes | None:
        """See `sse.Next`."""
        if not self._waiting and not self.dropped:
            self._came.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._came.wait(), 0.5)
        if self.dropped:
            return None
        return self._waiting.popleft() if self._waiting else b""


class _Channel:
    """What landed for one account and mode since the last event, and who wants to know."""

    def __init__(self) -> None:
        self.watchers: set[Watcher] = set()
        self.points: list[dict[str, Any]] = []
        self.skipped = 0

    def add(self, source: Source, times: list[int], values: list[float]) -> None:
        room = MOST_POINTS - len(self.points)
        self.skipped += max(0, len(times) - room)
        stat = None if source.stat is None else str(source.stat)
        self.points += [
            {"id": stat, "stat": source.name, "type": source.kind, "t": _moment(at), "value": answers.number(value)}
            for at, value in zip(times[:room], values[:room], strict=True)
        ]

    def flush(self) -> None:
        if self.points:
            event = sse.event("points", {"points": self.points, "skipped": self.skipped})
            self.points, self.skipped = [], 0
            for watcher in self.watchers:
                watcher.tell(event)


def _moment(at: int) -> str:
    try:
        return answers.moment(at / 1e6)
    except (ValueError, OverflowError):
        return str(at)


class Live:
    """Who watches what in this process."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._channels: dict[Watched, _Channel] = {}
        self._seen: OrderedDict[tuple[UUID, int], None] = OrderedDict()
        self._subscription: Subscription | None = None
        self._running: asyncio.Task[None] | None = None
        self._line = asyncio.Event()
        bus.on_back(self._line.set)

    @property
    def idle(self) -> bool:
        """Nobody watches, and the bus is not asked for points."""
        return self._running is None and self._subscription is None

    @contextmanager
    def watching(self, account: UUID, mode: Mode) -> Iterator[Watcher]:
        """A watcher of an account's points, until the block ends."""
        channel = self._channels.setdefault((account, mode), _Channel())
        watcher = Watcher()
        channel.watchers.add(watcher)
        if self._running is None:
            self._line.set()
            self._running = asyncio.create_task(self._run())
        try:
            yield watcher
        finally:
            channel.watchers.discard(watcher)
            if not channel.watchers:
                del self._channels[account, mode]

    async def _run(self) -> None:
        """Subscribe, flush every so often, and unsubscribe when nobody watches any more."""
        try:
            while self._channels:
                if self._line.is_set():
                    await self._subscribe()
                await asyncio.sleep(EVERY)
                for channel in self._channels.values():
                    channel.flush()
        finally:
            self._running = None
            await self._unsubscribe()

    async def _subscribe(self) -> None:
        """Again after every reconnect: the bus may have replaced its connection."""
        await self._unsubscribe()
        self._line.clear()
        if not self._bus.connected:
            return
        with suppress(*NATS_ERRORS):
            self._subscription = await self._bus.nc.subscribe(SUBJECT, cb=self._landed)

    async def _unsubscribe(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            with suppress(*NATS_ERRORS):
                await subscription.unsubscribe()

    async def _landed(self, message: Msg) -> None:
        try:
            frame = decode_frame(message.data)
        except (msgspec.MsgspecError, ValueError):
            return  # the writer parks it, with the reason
        if not frame.imported and self._is_new(frame):
            self._show(frame)

    def _is_new(self, frame: Frame) -> bool:
        """A frame may be sent again after a time-out."""
        key = (frame.epoch, frame.seq)
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return True

    def _show(self, frame: Frame) -> None:
        watched = [
            (place, source, channel)
            for place, source in enumerate(frame.sources)
            if (channel := self._channels.get((source.account, source.mode))) is not None
        ]
        if not watched:
            return
        index = np.frombuffer(frame.index, "<u2")
        times, values = np.frombuffer(frame.times, "<i8"), np.frombuffer(frame.values, "<f8")
        for place, source, channel in watched:
            mine = index == place
            channel.add(source, times[mine].tolist(), values[mine].tolist())
