"""The data plane's follower: frames of a partition, each seen once, whatever is delivered, resent or retried."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NoReturn
from uuid import UUID

import msgspec
import numpy
from numpy.typing import NDArray
from psycopg import Cursor, sql
from psycopg.rows import TupleRow

from libs.bus.connect import Bus
from libs.bus.following import Following
from libs.bus.position import Connects, Position
from libs.bus.pull import Message
from libs.bus.ranges import Ranges
from libs.bus.verdict import Treated
from libs.contracts.ingest import Frame, decode_frame, points_stream

ITEMS_KEPT = timedelta(hours=36)
"""Item ids are promised for 24 hours; the rest is for frames that waited in a spool while newer ones passed."""
_EPOCHS_IN_MEMORY = 4096


@dataclass(slots=True)
class Received:
    """A frame that was not seen before. `body` is the frame as on the wire, `sequence` its place in the stream.

    `keep` tells for each point whether it counts (False: its client's item id was seen); None: all do.
    """

    frame: Frame
    body: bytes
    sequence: int
    keep: NDArray[numpy.bool_] | None = None


Apply = Callable[[Cursor[TupleRow], Sequence[Received]], None]


class DataFollower:
    """Follows the points of one partition and hands new frames to `apply`, in the transaction of the position.

    `apply` runs in a thread with a synchronous cursor. It must not commit, nor rely on memory that it changed before an
    error: the transaction is undone and the frames are delivered again. An error about content (`verdict.POISON`)
    has each frame of the batch tried by itself, and parked after three tries; other errors escape from `run`.
    `spacing` is the least pause between transactions in seconds; a follower whose transactions outlast it pauses
    longer, up to ten times.
    """

    def __init__(
        self, bus: Bus, database: Connects, schema: str, name: str, partition: int, apply: Apply, spacing: float = 0.025
    ) -> None:
        self._apply = apply
        self._seen = _Seen(schema, name, partition)
        self._following = Following(
            bus,
            database,
            self,
            schema=schema,
            name=name,
            stream=points_stream(partition),
            follower=name,
            partition=partition,
            spacing=spacing,
        )

    async def run(self) -> NoReturn:
        await self._following.run()

    def lag(self) -> int:
        """How many frames wait for this follower, as last heard."""
        return self._following.lag()

    @property
    def position(self) -> int:
        """Stream sequence of the last frame whose effects are stored."""
        return self._following.position

    @property
    def trouble(self) -> str:
        """Why it is not following right now; empty when it is."""
        return self._following.trouble

    def treat(self, cursor: Cursor[TupleRow], messages: Sequence[Message], position: Position) -> Treated:
        treated = Treated(position.source)
        decoded = [frame for message in messages if (frame := _decode(message, treated)) is not None]
        self._take(cursor, decoded)
        return treated

    def again(self, cursor: Cursor[TupleRow], message: Message) -> None:
        self._take(cursor, [_read(message)])

    def _take(self, cursor: Cursor[TupleRow], decoded: Sequence[Received]) -> None:
        fresh = self._seen.frames(cursor, decoded)
        self._seen.items(cursor, fresh)
        if fresh:
            self._apply(cursor, fresh)

    def passed_over(self, message: Message, position: Position) -> int:
        return position.source

    def forget(self) -> None:
        self._seen.forget()

    def tidy(self, cursor: Cursor[TupleRow]) -> None:
        self._seen.tidy(cursor)


def _read(message: Message) -> Received:
    """Raises `msgspec.MsgspecError` or `ValueError` for what no follower could make sense of. A value that is no number
    would stay in every sum that it once got into."""
    frame = decode_frame(message.data)
    index = numpy.frombuffer(frame.index, "<u2")
    if len(index) and index.max() >= len(frame.sources):
        raise ValueError("a point of a source that is not in the frame")
    if not numpy.isfinite(numpy.frombuffer(frame.values, "<f8")).all():
        raise ValueError("a value that is not a finite number")
    return Received(frame, message.data, message.sequence)


def _decode(message: Message, treated: Treated) -> Received | None:
    """A frame that can't be read won't be readable at the next try: parked at once."""
    try:
        return _read(message)
    except (msgspec.MsgspecError, ValueError) as error:
        treated.parked.append((message, f"{type(error).__name__}: {error}"))
        return None


class _Seen:
    """What this follower has seen: ranges of frame numbers per producer, and items by the ids their clients gave."""

    def __init__(self, schema: str, follower: str, partition: int) -> None:
        self._key = (partition, follower)
        self._ranges: dict[UUID, Ranges] = {}
        self._newest = datetime.min.replace(tzinfo=UTC)
        producers, items = sql.Identifier(schema, "producers"), sql.Identifier(schema, "items")
        self._select = sql.SQL(
            "select epoch, array(select lower(r) from unnest(seen) r), array(select upper(r) from unnest(seen) r) "
            "from {} where partition = %s and follower = %s and epoch = any(%s)"
        ).format(producers)
        self._store = sql.SQL(
            "insert into {}(partition, follower, epoch, seen) "
            "select %s, %s, epoch, seen::int8multirange from unnest(%s::uuid[], %s::text[]) t(epoch, seen) "
            "on conflict (partition, follower, epoch) do update set seen = excluded.seen, seen_at = now()"
        ).format(producers)
        self._insert_items = sql.SQL(
            "insert into {}(partition, follower, id, received) "
            "select %s, %s, id, received from unnest(%s::bytea[], %s::timestamptz[]) t(id, received) "
            "on conflict do nothing returning id"
        ).format(items)
        self._delete_items = sql.SQL(
            "delete from {items} where partition = %s and follower = %s and id in "
            "(select id from {items} where partition = %s and follower = %s and received < %s limit 10000)"
        ).format(items=items)

    def frames(self, cursor: Cursor[TupleRow], received: Sequence[Received]) -> list[Received]:
        """Those that were not seen before, remembered from now on."""
        epochs = {each.frame.epoch for each in received}
        self._load(cursor, epochs)
        fresh = [each for each in received if self._ranges[each.frame.epoch].add(each.frame.seq)]
        if fresh:
            touched = sorted({each.frame.epoch for each in fresh})
            cursor.execute(
                self._store, (*self._key, touched, [self._ranges[epoch].literal() for epoch in touched]), prepare=True
            )
        return fresh

    def _load(self, cursor: Cursor[TupleRow], epochs: set[UUID]) -> None:
        unknown = [epoch for epoch in epochs if epoch not in self._ranges]
        if not unknown:
            return
        if len(self._ranges) + len(unknown) > _EPOCHS_IN_MEMORY:
            self._ranges.clear()
            unknown = list(epochs)
        self._ranges.update((epoch, Ranges()) for epoch in unknown)
        for epoch, starts, ends in cursor.execute(self._select, (*self._key, unknown)).fetchall():
            self._ranges[epoch] = Ranges(zip(starts, ends, strict=True))

    def items(self, cursor: Cursor[TupleRow], fresh: Sequence[Received]) -> None:
        """Set `keep` where a point's item was seen before; the first of several points with one id counts."""
        first: dict[bytes, tuple[int, int]] = {}
        times: list[datetime] = []
        for number, each in enumerate(fresh):
            received = datetime.fromtimestamp(each.frame.received / 1e6, UTC) if each.frame.items else None
            for index, item in enumerate(each.frame.items):
                if item and item not in first and received:
                    first[item] = (number, index)
                    times.append(received)
        if not first:
            return
        self._newest = max(self._newest, *times)
        cursor.execute(self._insert_items, (*self._key, list(first), times))
        new = {bytes(row[0]) for row in cursor.fetchall()}
        for number, each in enumerate(fresh):
            each.keep = _keep(number, each.frame.items, first, new)

    def tidy(self, cursor: Cursor[TupleRow]) -> None:
        """Forget items that are too old. Age counts from the newest frame processed, so that the time during which
        frames waited in the stream or a spool does not count."""
        oldest = min(self._newest, datetime.now(UTC)) - ITEMS_KEPT if self._newest.year > 1 else None
        if oldest is not None:
            cursor.execute(self._delete_items, (*self._key, *self._key, oldest))

    def forget(self) -> None:
        self._ranges.clear()


def _keep(
    number: int, items: Sequence[bytes], first: dict[bytes, tuple[int, int]], new: set[bytes]
) -> NDArray[numpy.bool_] | None:
    keep = numpy.fromiter(
        (not item or (item in new and first[item] == (number, index)) for index, item in enumerate(items)),
        numpy.bool_,
        len(items),
    )
    return None if keep.all() else keep
