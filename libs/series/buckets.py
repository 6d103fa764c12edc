"""Reading what `rollups` keeps: buckets of one stat, totals of many."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from psycopg import AsyncCursor
from psycopg.rows import TupleRow

from libs.series.ranges import Range

Cursor = AsyncCursor[TupleRow]


class Bucket(NamedTuple):
    """Points of one stat in one bucket. `at` is the bucket's start in Unix seconds."""

    at: float
    n: int
    sum: float
    min: float
    max: float
    last: float

    @property
    def mean(self) -> float:
        return self.sum / self.n


@dataclass(frozen=True)
class Total:
    """Points of one stat over a range; `n` is 0 when there are none, then the rest means nothing."""

    n: int = 0
    sum: float = 0.0
    min: float = 0.0
    max: float = 0.0
    last: float = 0.0


def _table(width: int) -> str:
    return "hours" if width % 3600 == 0 else "minutes"


_FINE = """
select extract(epoch from bucket)::float8, n, sum, min, max, last
from {schema}.{table}
where partition = %s and stat = %s and bucket >= to_timestamp(%s) and bucket < to_timestamp(%s)
order by bucket limit %s
"""

_COARSE = """
select extract(epoch from wide)::float8, sum(n)::bigint, sum(sum), min(min), max(max),
    (array_agg(last order by last_at desc))[1]
from (
    select date_bin(make_interval(secs => %s), bucket, 'epoch') as wide, *
    from {schema}.{table}
    where partition = %s and stat = %s and bucket >= to_timestamp(%s) and bucket < to_timestamp(%s)
) fine
group by wide order by wide limit %s
"""


async def read(cursor: Cursor, schema: str, partition: int, stat: UUID, span: Range, limit: int) -> list[Bucket]:
    """The buckets that have points, oldest first, at most `limit`; `span.width` is a multiple of a minute."""
    table = _table(span.width)
    given = (partition, stat, span.start, span.end, limit)
    if span.width in (60, 3600):
        await cursor.execute(_FINE.format(schema=schema, table=table).encode(), given, prepare=True, binary=True)
    else:
        query = _COARSE.format(schema=schema, table=table).encode()
        await cursor.execute(query, (span.width, *given), prepare=True, binary=True)
    return [Bucket(*row) for row in await cursor.fetchall()]


def fold(buckets: Sequence[Bucket]) -> Total:
    """The total of some buckets in the order of time."""
    if not buckets:
        return Total()
    return Total(
        sum(bucket.n for bucket in buckets),
        sum(bucket.sum for bucket in buckets),
        min(bucket.min for bucket in buckets),
        max(bucket.max for bucket in buckets),
        buckets[-1].last,
    )


_TOTALS = """
select stat, sum(n)::bigint, sum(sum), min(min), max(max), (array_agg(last order by last_at desc))[1]
from {schema}.{table}
where partition = %s and stat = any(%s) and bucket >= to_timestamp(%s) and bucket < to_timestamp(%s)
group by stat
"""


async def totals(cursor: Cursor, schema: str, partition: int, stats: Sequence[UUID], span: Range) -> dict[UUID, Total]:
    """The totals of those stats that have points in a range."""
    query = _TOTALS.format(schema=schema, table=_table(span.width)).encode()
    await cursor.execute(query, (partition, list(stats), span.start, span.end), prepare=True, binary=True)
    return {row[0]: Total(*row[1:]) for row in await cursor.fetchall()}


_MANY = """
select stat, extract(epoch from date_bin(make_interval(secs => %s), bucket, 'epoch'))::float8 as wide,
    sum(n)::bigint, sum(sum), min(min), max(max), (array_agg(last order by last_at desc))[1]
from {schema}.{table}
where partition = %s and stat = any(%s) and bucket >= to_timestamp(%s) and bucket < to_timestamp(%s)
group by stat, wide order by stat, wide
"""


async def read_many(
    cursor: Cursor, schema: str, partition: int, stats: Sequence[UUID], span: Range
) -> dict[UUID, list[Bucket]]:
    """The buckets of several stats, for sparklines."""
    query = _MANY.format(schema=schema, table=_table(span.width)).encode()
    await cursor.execute(query, (span.width, partition, list(stats), span.start, span.end), prepare=True, binary=True)
    found: dict[UUID, list[Bucket]] = {}
    for stat, *bucket in await cursor.fetchall():
        found.setdefault(stat, []).append(Bucket(*bucket))
    return found
