"""Folding points into minute and hour buckets, in the caller's transaction."""

from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Cursor

from libs.series import columns

MINUTE = 60_000_000
HOUR = 3_600_000_000
GRAINS = (("minutes", MINUTE), ("hours", HOUR))

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_UPSERT = """
insert into {schema}.{table} as kept (partition, stat, bucket, account, n, sum, min, max, last, last_at)
select %(partition)s, u.* from unnest(
    %(stat)b, %(bucket)b, %(account)b, %(n)b, %(sum)b, %(min)b, %(max)b, %(last)b, %(last_at)b
) as u(stat, bucket, account, n, sum, min, max, last, last_at)
on conflict (partition, stat, bucket) do update set
    n = kept.n + excluded.n,
    sum = kept.sum + excluded.sum,
    min = least(kept.min, excluded.min),
    max = greatest(kept.max, excluded.max),
    last = case when excluded.last_at >= kept.last_at then excluded.last else kept.last end,
    last_at = greatest(kept.last_at, excluded.last_at)
"""


def ddl(schema: str) -> str:
    """The rollup tables of one service, safe to run again."""
    return files(__package__).joinpath("rollups.sql").read_text().replace("{schema}", schema)


@dataclass(frozen=True)
class Points:
    """Points sorted by (series, time): `series` indexes `stats` and `accounts` (dtype V16), `times` are Unix
    microseconds."""

    stats: NDArray[np.void]
    accounts: NDArray[np.void]
    series: Ints
    times: Ints
    values: Floats

    @classmethod
    def sort(cls, stats: list[bytes], accounts: list[bytes], series: Ints, times: Ints, values: Floats) -> "Points":
        order = np.lexsort((times, series))
        return cls(
            np.frombuffer(b"".join(stats), "V16"),
            np.frombuffer(b"".join(accounts), "V16"),
            series[order],
            times[order],
            values[order],
        )


def _starts(points: Points, bucket: Ints) -> Ints:
    """Where a new (series, bucket) begins."""
    changed = (points.series[1:] != points.series[:-1]) | (bucket[1:] != bucket[:-1])
    return np.flatnonzero(np.concatenate(([True], changed)))


def fold(cursor: Cursor[Any], schema: str, partition: int, points: Points) -> None:
    """Add sorted points to both grains. The connection needs `columns.register`."""
    for table, width in GRAINS:
        bucket = points.times // width
        starts = _starts(points, bucket)
        ends = np.append(starts[1:], len(bucket))
        series = points.series[starts]
        cursor.execute(
            _UPSERT.format(schema=schema, table=table).encode(),
            {
                "partition": partition,
                "stat": columns.uuids(points.stats[series]),
                "bucket": columns.timestamps(bucket[starts] * width),
                "account": columns.uuids(points.accounts[series]),
                "n": columns.int8s(ends - starts),
                "sum": columns.float8s(np.add.reduceat(points.values, starts)),
                "min": columns.float8s(np.minimum.reduceat(points.values, starts)),
                "max": columns.float8s(np.maximum.reduceat(points.values, starts)),
                "last": columns.float8s(points.values[ends - 1]),
                "last_at": columns.timestamps(points.times[ends - 1]),
            },
            prepare=True,
        )
