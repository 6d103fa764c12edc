"""How stats, points and summaries are written in answers."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np

from libs.contracts.ingest import Kind
from libs.series.buckets import Bucket, Total
from services.ingest.queries import StatRow, Times, Values

WHOLE = 2.0**53


def number(value: float) -> int | float:
    """A whole number is printed whole."""
    return int(value) if value.is_integer() and abs(value) <= WHOLE else value


def moment(seconds: float) -> str:
    """RFC 3339, UTC, milliseconds."""
    return stamp(datetime.fromtimestamp(seconds, UTC))


def stamp(at: datetime) -> str:
    """RFC 3339, UTC, milliseconds."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def encode(answer: Any) -> bytes:
    return msgspec.json.encode(answer)


def stat(row: StatRow) -> dict[str, Any]:
    """A stat as the API shows it."""
    return {
        "id": str(row.id),
        "name": row.name,
        "type": row.kind,
        "unit": row.unit,
        "description": row.description,
        "colour": row.colour,
        "pinned": row.pinned,
        "tags": [],
        "created_at": stamp(row.created_at),
        "last_point_at": None if row.last_point_at is None else stamp(row.last_point_at),
        "share": None,
    }


def points(kind: Kind, buckets: Iterable[Bucket], p95: dict[float, float] | None = None) -> list[dict[str, Any]]:
    """Buckets as points: a counter's is the sum; a gauge's is the mean, with the rest beside it."""
    if kind == "counter":
        return [{"t": moment(bucket.at), "value": number(bucket.sum)} for bucket in buckets]
    return [
        {
            "t": moment(bucket.at),
            "value": number(bucket.mean),
            "min": number(bucket.min),
            "max": number(bucket.max),
            "last": number(bucket.last),
            "n": bucket.n,
            "p95": None if p95 is None or bucket.at not in p95 else number(p95[bucket.at]),
        }
        for bucket in buckets
    ]


def raw(times: Times, values: Values) -> list[dict[str, Any]]:
    """Points as they were sent."""
    return [
        {"t": moment(at / 1e6), "value": number(value)}
        for at, value in zip(times.tolist(), values.tolist(), strict=True)
    ]


def percentiles(times: Times, values: Values, width: int) -> dict[float, float]:
    """The 95th percentile (linear between ranks) of each bucket: bucket start in Unix seconds -> p95."""
    bucket = times // (width * 1_000_000)
    if not len(bucket):
        return {}
    starts = np.flatnonzero(np.concatenate(([True], bucket[1:] != bucket[:-1])))
    parts = np.split(values, starts[1:])
    return {
        float(bucket[start]) * width: float(np.percentile(part, 95)) for start, part in zip(starts, parts, strict=True)
    }


def summary(kind: Kind, now: Total, before: Total) -> dict[str, Any]:
    """What a range comes to, and its change in per cent against the period before (null when that was nothing)."""
    value = _value(kind, now)
    previous = _value(kind, before)
    change = None if value is None or not previous else round((value - previous) / abs(previous) * 100, 2)
    answer: dict[str, Any] = {"total" if kind == "counter" else "mean": None if value is None else number(value)}
    seen = now.n > 0
    return answer | {
        "min": number(now.min) if seen else None,
        "max": number(now.max) if seen else None,
        "last": number(now.last) if seen else None,
        "n": now.n,
        "previous": None if previous is None else number(previous),
        "change": change,
    }


def _value(kind: Kind, total: Total) -> float | None:
    if kind == "counter":
        return total.sum
    return total.sum / total.n if total.n else None


def sparkline(kind: Kind, buckets: Sequence[Bucket]) -> list[list[float]]:
    """[[Unix seconds, value], …]"""
    return [[int(bucket.at), number(bucket.sum if kind == "counter" else bucket.mean)] for bucket in buckets]
