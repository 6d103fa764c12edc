"""numpy columns to Postgres as binary arrays, for `unnest`: no Python object per value.

(COPY would be a little faster, but Postgres refuses it on tables with row-level security.)
"""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

PG_EPOCH = 946_684_800_000_000
"""Postgres counts microseconds from 2000-01-01; this is that moment in Unix microseconds."""


class Int8Array(bytes):
    """A bigint[] in binary format."""


class Float8Array(bytes):
    """A float8[] in binary format."""


class TimestampArray(bytes):
    """A timestamptz[] in binary format."""


class UuidArray(bytes):
    """A uuid[] in binary format."""


class ByteaArray(bytes):
    """A bytea[] in binary format."""


def _dumper(array_oid: int) -> type[Dumper]:
    class ArrayDumper(Dumper):
        format = Format.BINARY
        oid = array_oid

        def dump(self, obj: bytes) -> Buffer:
            return bytes(obj)

    return ArrayDumper


_DUMPERS = tuple(
    (kind, _dumper(oid))
    for kind, oid in (
        (Int8Array, 1016),
        (Float8Array, 1022),
        (TimestampArray, 1185),
        (UuidArray, 2951),
        (ByteaArray, 1001),
    )
)


def register(context: AdaptContext) -> None:
    """Teach a connection or cursor the array types of this module."""
    for kind, dumper in _DUMPERS:
        context.adapters.register_dumper(kind, dumper)


def _elements(oid: int, width: int, dtype: str, values: NDArray[Any]) -> bytes:
    cells = np.empty(len(values), np.dtype([("length", ">i4"), ("value", dtype)]))
    cells["length"] = width
    cells["value"] = values
    return struct.pack(">iiiii", 1, 0, oid, len(values), 1) + cells.tobytes()


def int8s(values: NDArray[np.int64]) -> Int8Array:
    return Int8Array(_elements(20, 8, ">i8", values))


def float8s(values: NDArray[np.float64]) -> Float8Array:
    return Float8Array(_elements(701, 8, ">f8", values))


def timestamps(microseconds: NDArray[np.int64]) -> TimestampArray:
    """`microseconds` are Unix microseconds."""
    return TimestampArray(_elements(1184, 8, ">i8", microseconds - PG_EPOCH))


def uuids(values: NDArray[np.void]) -> UuidArray:
    """`values` have dtype V16."""
    return UuidArray(_elements(2950, 16, "V16", values))


def byteas(values: Sequence[bytes]) -> ByteaArray:
    parts = [struct.pack(">iiiii", 1, 0, 17, len(values), 1)]
    for value in values:
        parts += (len(value).to_bytes(4, "big"), value)
    return ByteaArray(b"".join(parts))
