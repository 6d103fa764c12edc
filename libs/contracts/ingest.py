"""What `services/ingest` tells the others: stats as events, points as frames, history as an answer."""

from typing import ClassVar, Literal
from uuid import UUID
from zlib import crc32

import msgspec

from libs.contracts.accounts import Mode
from libs.contracts.envelope import Event

Kind = Literal["counter", "gauge"]

STATS_FORGOTTEN = "ingest.stats-forgotten"


class StatCreated(Event, frozen=True, kw_only=True):
    SERVICE: ClassVar[str] = "ingest"
    stat: UUID
    mode: Mode
    name: str
    kind: Kind


class StatChanged(Event, frozen=True, kw_only=True):
    """Unit, description, colour or pin changed."""

    SERVICE: ClassVar[str] = "ingest"
    stat: UUID
    name: str


class StatDeleted(Event, frozen=True, kw_only=True):
    """A stat is gone; points of it that were received before `at` are dropped wherever they still come from."""

    SERVICE: ClassVar[str] = "ingest"
    stat: UUID
    mode: Mode
    name: str


class StatsForgotten(msgspec.Struct, frozen=True, kw_only=True):
    """Core-NATS broadcast (`STATS_FORGOTTEN`): what caches know of these stats is no longer true."""

    stats: tuple[UUID, ...]


SERIES = "ingest.series"
MOST_BUCKETS = 10_000

Bucket = tuple[int, int, float, float, float, float, int]
"""(start, n, sum, min, max, last, time of last); times are Unix microseconds."""


class SeriesAsked(msgspec.Struct, frozen=True, kw_only=True):
    """Asks ingest (subject `SERIES`) for the history of one stat: minutes and hours that begin at or after these Unix
    seconds, at most `MOST_BUCKETS` in all. The answer has to include the frames up to stream position `at_least`."""

    account: UUID
    stat: UUID
    minutes_since: float
    hours_since: float
    at_least: int = 0


class SeriesTold(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to `SeriesAsked`: complete up to stream position `upto` of the account's partition, with nothing later in
    it. `ready` is False when the writer has not got as far as `at_least`: ask again. `too_many`: ask for less."""

    upto: int
    ready: bool = True
    too_many: bool = False
    minutes: list[Bucket] = []
    hours: list[Bucket] = []


class Source(msgspec.Struct, frozen=True, array_like=True):
    """Where points of a frame come from and go to. `stat` is None for a name not registered yet."""

    account: UUID
    mode: Mode
    stat: UUID | None
    name: str
    kind: Kind
    key: UUID | None


class Frame(msgspec.Struct, frozen=True, array_like=True):
    """A group of points of one partition: one bus message, one archive row, one `PointsRecorded`.

    Columns are little-endian: `index` u16 into `sources`, `times` i64 Unix microseconds, `values` f64.
    `items` is empty, or for each point the 16-byte id its client gave it (b"" for none).
    (epoch, seq) is the frame's identity: epoch is the producer's UUIDv7, seq counts from 1.
    `received` is Unix microseconds. `imported` points are history: alerts and billing leave them alone.
    """

    version: int
    epoch: UUID
    seq: int
    received: int
    imported: bool
    sources: list[Source]
    index: bytes
    times: bytes
    values: bytes
    items: list[bytes]


class OpenFrame(msgspec.Struct, array_like=True):
    """A `Frame` as its producer fills it: sources already encoded, once per stat and key."""

    version: int
    epoch: UUID
    seq: int
    received: int
    imported: bool
    sources: list[msgspec.Raw]
    index: bytes
    times: bytes
    values: bytes
    items: list[bytes]


_encoder = msgspec.msgpack.Encoder(uuid_format="bytes")
_decoder = msgspec.msgpack.Decoder(Frame)


def encode_source(source: Source) -> msgspec.Raw:
    return msgspec.Raw(_encoder.encode(source))


def encode_frame(frame: OpenFrame | Frame) -> bytes:
    return _encoder.encode(frame)


def decode_frame(body: bytes) -> Frame:
    """Raises `msgspec.ValidationError`, `msgspec.DecodeError`, or `ValueError` for columns of unequal length."""
    frame = _decoder.decode(body)
    n = len(frame.times) // 8
    if (
        len(frame.index) != 2 * n
        or len(frame.values) != 8 * n
        or len(frame.times) != 8 * n
        or len(frame.items) not in (0, n)
    ):
        raise ValueError("columns of unequal length")
    return frame


def partition_of(account: UUID, partitions: int) -> int:
    """The partition of an account's points: the same everywhere and for ever."""
    return crc32(account.bytes) % partitions


def points_stream(partition: int) -> str:
    return f"POINTS_{partition}"


def points_subject(partition: int) -> str:
    return f"points.{partition}"
