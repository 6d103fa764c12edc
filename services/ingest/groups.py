"""Group commit: one bus message, and one fsync, for all points that arrived while earlier ones were being stored.

No timer: a group goes at once when none is flying; a further one only when it is worth its fsync (at least half of
what is outstanding), at most four in flight. Answers wait for the acknowledgement.
"""

import asyncio
import logging
from array import array
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Protocol
from uuid import UUID

import msgspec

from libs.bus.errors import BusUnavailable, StreamRefused
from libs.bus.publish import FramePublisher
from libs.contracts.ingest import OpenFrame, encode_frame, points_subject
from libs.http.errors import ApiError, Unavailable
from libs.runtime.clock import Clock
from services.ingest.spool import Spool, SpoolFull

log = logging.getLogger("ezstat.ingest.groups")

FRAME_BYTES = 256 << 10
IN_FLIGHT = 4
WORTH = 0.5
POINT_BYTES = 18
ITEM_BYTES = 16
MAX_SOURCES = 65_535

Done = Callable[[ApiError | None], None]
"""Told how it ended: None means on disk."""


class Origin(Protocol):
    """What a point belongs to, as the group needs it: its encoded source and how many bytes that has, and the commit
    of its partition."""

    raw: msgspec.Raw
    size: int
    commit: "GroupCommit"


class Group:
    """Points that will be one frame."""

    __slots__ = ("index", "items", "origins", "size", "sources", "times", "values", "waiters")

    def __init__(self) -> None:
        self.origins: dict[Origin, int] = {}
        self.sources: list[msgspec.Raw] = []
        self.index = array("H")
        self.times = array("q")
        self.values = array("d")
        self.items: list[bytes] = []
        self.waiters: list[Done] = []
        self.size = 0

    def place(self, origin: Origin) -> int:
        """The index of an origin in this frame's sources."""
        place = self.origins.get(origin)
        if place is None:
            place = self.origins[origin] = len(self.sources)
            self.sources.append(origin.raw)
            self.size += origin.size
        return place


class Producer:
    """This process as a producer of one partition's frames: an epoch, and a sequence without gaps of its own making.

    Followers of a partition remember ranges of sequences: one that went on in another partition would leave them
    thousands of holes.
    """

    def __init__(self, epoch: UUID) -> None:
        self.epoch = epoch
        self._sequence = 0

    def next(self) -> int:
        self._sequence += 1
        return self._sequence


class GroupCommit:
    """The group commit of one partition."""

    def __init__(
        self, partition: int, producer: Producer, publisher: FramePublisher, spool: Spool, clock: Clock
    ) -> None:
        self.partition = partition
        self.acknowledged = self.frames = self.spooled = self.refused = 0
        self._producer = producer
        self._publisher = publisher
        self._spool = spool
        self._clock = clock
        self._subject = points_subject(partition)
        self._groups: deque[Group] = deque()
        self._flying = 0
        self._outstanding = 0
        self._scheduled = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._loop = asyncio.get_running_loop()
        self._sending: set[asyncio.Task[None]] = set()

    def add(self, origin: Origin, time: int, value: float, item: bytes, done: Done) -> None:
        """One point. `time` in Unix microseconds; `item` is the 16-byte id its client gave it, or empty."""
        group = self._groups[-1] if self._groups else None
        if group is None or group.size > FRAME_BYTES or len(group.sources) >= MAX_SOURCES:
            group = self._open()
        group.index.append(group.place(origin))
        group.times.append(time)
        group.values.append(value)
        if item or group.items:
            self._add_items(group, (item,))
        group.waiters.append(done)
        group.size += POINT_BYTES
        self._outstanding += 1
        if not self._scheduled and self._worth_a_frame():
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def add_many(
        self,
        origins: Sequence[Origin],
        times: Sequence[int],
        values: Sequence[float],
        items: Sequence[bytes],
        done: Done,
    ) -> None:
        """Many points that are answered together; they stay in one frame unless they alone are larger than one."""
        slices = list(_slices(origins, 0, len(origins)))
        told = done if len(slices) == 1 else _after(len(slices), done)
        for part in slices:
            self._add_part(origins[part], times[part], values[part], items[part], told)

    def _add_part(
        self,
        origins: Sequence[Origin],
        times: Sequence[int],
        values: Sequence[float],
        items: Sequence[bytes],
        done: Done,
    ) -> None:
        n = len(origins)
        group = self._groups[-1] if self._groups else None
        if group is None or (group.values and group.size + _weight(origins) > FRAME_BYTES):
            group = self._open()
        places, place = group.origins, group.place
        for origin in dict.fromkeys(origins):
            if origin not in places:
                place(origin)
        group.index.extend([places[origin] for origin in origins])
        group.times.extend(times)
        group.values.extend(values)
        if items or group.items:
            self._add_items(group, items or (b"",) * n)
        group.waiters.append(done)
        group.size += n * POINT_BYTES
        self._outstanding += n
        if not self._scheduled and self._worth_a_frame():
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def _open(self) -> Group:
        group = Group()
        self._groups.append(group)
        self._idle.clear()
        return group

    @staticmethod
    def _add_items(group: Group, items: Sequence[bytes]) -> None:
        before = len(group.values) - len(items)
        if len(group.items) < before:
            group.items.extend([b""] * (before - len(group.items)))
        group.items.extend(items)
        group.size += ITEM_BYTES * len(items)

    def _worth_a_frame(self) -> bool:
        return self._flying == 0 or (
            self._flying < IN_FLIGHT
            and (len(self._groups) > 1 or len(self._groups[0].values) >= WORTH * self._outstanding)
        )

    def _flush(self) -> None:
        self._scheduled = False
        while self._groups and self._worth_a_frame():
            self._flying += 1
            self._send(self._groups.popleft())

    def _send(self, group: Group) -> None:
        seq = self._producer.next()
        body = encode_frame(
            OpenFrame(
                1, self._producer.epoch, seq, int(self._clock.now() * 1e6), False, group.sources,
                group.index.tobytes(), group.times.tobytes(), group.values.tobytes(), group.items,
            )
        )  # fmt: skip
        if self._spool.only_hope:
            # The bus was away a moment ago: the drain tries it out, new points need not wait for its time-out.
            self._spawn(self._keep(group, body))
            return
        stored = self._publisher.publish(self._subject, f"{self._producer.epoch}:{seq}", body)
        stored.add_done_callback(lambda future: self._stored(group, body, future))

    def _stored(self, group: Group, body: bytes, future: "asyncio.Future[int]") -> None:
        if future.cancelled() or isinstance(future.exception(), BusUnavailable | StreamRefused):
            self._spool.only_hope = self._spool.limit > 0
            self._spawn(self._keep(group, body))
        elif (error := future.exception()) is not None:
            log.error("a frame could not be published", exc_info=error)
            self._end(group, Unavailable())
        else:
            self._end(group, None)

    async def _keep(self, group: Group, body: bytes) -> None:
        try:
            await self._spool.append(self.partition, body)
        except SpoolFull:
            self._end(group, Unavailable())
        else:
            self.spooled += len(group.values)
            self._end(group, None)

    def _end(self, group: Group, error: ApiError | None) -> None:
        n = len(group.values)
        self._flying -= 1
        self._outstanding -= n
        if error is None:
            self.acknowledged += n
            self.frames += 1
        else:
            self.refused += n
        for done in group.waiters:
            done(error)
        if self._groups:
            self._flush()
        elif not self._flying:
            self._idle.set()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def settled(self) -> None:
        """Wait until nothing is on its way."""
        await self._idle.wait()


def _weight(origins: Sequence[Origin]) -> int:
    """About how many bytes of frame points of these origins are, item ids included."""
    return len(origins) * (POINT_BYTES + ITEM_BYTES) + sum(origin.size for origin in set(origins))


def _slices(origins: Sequence[Origin], start: int, end: int) -> Iterator[slice]:
    """Halves until each fits into a frame: long names weigh more than points."""
    if end - start == 1 or _weight(origins[start:end]) <= FRAME_BYTES:
        yield slice(start, end)
        return
    middle = (start + end) // 2
    yield from _slices(origins, start, middle)
    yield from _slices(origins, middle, end)


def _after(parts: int, done: Done) -> Done:
    """A `Done` for several frames: told once, of the first error or, after the last, of success."""
    left = parts
    failed: ApiError | None = None

    def part(error: ApiError | None) -> None:
        nonlocal left, failed
        left -= 1
        failed = failed or error
        if left == 0:
            done(failed)

    return part
