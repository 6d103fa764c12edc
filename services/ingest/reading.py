"""Reads that take more than one query: a stat with its points and summary, the dashboard."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from libs.contracts.accounts import Mode
from libs.contracts.ingest import partition_of
from libs.eventstore.database import Database
from libs.http.errors import BadRequest, NotFound
from libs.runtime.clock import Clock
from libs.series import buckets, ranges
from libs.series.buckets import Total
from libs.series.ranges import RAW, BadRange, Range
from services.ingest import answers, queries
from services.ingest.queries import StatRow

MOST_POINTS = 10_000
P95_POINTS = 200_000
SPARK_BUCKETS = 24


@dataclass(frozen=True)
class Asked:
    """The query parameters of a range, as they came."""

    named: str = ""
    start: str = ""
    end: str = ""
    resolution: str = "auto"

    def span(self, now: float) -> Range:
        try:
            return ranges.parse(now, named=self.named, start=self.start, end=self.end, resolution=self.resolution)
        except BadRange as error:
            raise BadRequest(str(error), param=error.param) from None


class Reading:
    """Answers about stats of one account; what it returns is ready to be encoded."""

    def __init__(self, database: Database, clock: Clock, partitions: int) -> None:
        self._database = database
        self._clock = clock
        self._partitions = partitions

    async def stat(self, account: UUID, mode: Mode, name: str, asked: Asked) -> dict[str, Any]:
        """A stat with points and summary over a range. Raises 404 and 400."""
        span = asked.span(self._clock.now())
        partition = partition_of(account, self._partitions)
        async with self._database.tenant(account) as cursor:
            row = await queries.stat(cursor, account, mode, name, partition)
            if row is None:
                raise NotFound("no such stat")
            if span.width == RAW:
                return await self._raw(cursor, partition, row, span)
            found = await buckets.read(cursor, "ingest", partition, row.id, span, MOST_POINTS)
            before = await self._total(cursor, partition, row.id, span.before())
            total = buckets.fold(found)
            p95 = None
            if row.kind == "gauge" and 0 < total.n <= P95_POINTS:
                sent = await queries.raw_points(cursor, partition, row.id, span.start, span.end, P95_POINTS)
                p95 = answers.percentiles(*sent, span.width)
        return _answer(row, span, answers.points(row.kind, found, p95), total, before)

    async def _raw(self, cursor: queries.Cursor, partition: int, row: StatRow, span: Range) -> dict[str, Any]:
        times, values = await queries.raw_points(cursor, partition, row.id, span.start, span.end, MOST_POINTS + 1)
        before = await queries.raw_points(
            cursor, partition, row.id, span.before().start, span.before().end, MOST_POINTS + 1
        )
        answer = _answer(row, span, answers.raw(times[:MOST_POINTS], values[:MOST_POINTS]), _of(values), _of(before[1]))
        return answer | {"truncated": len(times) > MOST_POINTS}

    @staticmethod
    async def _total(cursor: queries.Cursor, partition: int, stat: UUID, span: Range) -> Total:
        found = await buckets.totals(cursor, "ingest", partition, [stat], span)
        return found.get(stat, Total())

    async def stats(self, account: UUID, mode: Mode, after: str, limit: int, search: str) -> list[StatRow]:
        async with self._database.tenant(account) as cursor:
            partition = partition_of(account, self._partitions)
            return await queries.stats(cursor, account, mode, partition, after=after, limit=limit, search=search)

    async def dashboard(self, account: UUID, mode: Mode, named: str, limit: int) -> dict[str, Any]:
        """Totals, per-stat summaries with sparklines, and the newest stats, over a named range."""
        now = self._clock.now()
        span = Asked(named=named).span(now)
        length = ranges.NAMED[named]
        spark = ranges.align(now - length, now, max(60, length // SPARK_BUCKETS // 60 * 60))
        partition = partition_of(account, self._partitions)
        async with self._database.tenant(account) as cursor:
            rows = await queries.stats(cursor, account, mode, partition, limit=limit)
            ids = [row.id for row in rows]
            totals = await buckets.totals(cursor, "ingest", partition, ids, span)
            before = await buckets.totals(cursor, "ingest", partition, ids, span.before())
            lines = await buckets.read_many(cursor, "ingest", partition, ids, spark)
            count = await queries.count_stats(cursor, account, mode)
        return {
            "range": named,
            "from": answers.moment(span.start),
            "to": answers.moment(span.end),
            "totals": {
                "stats": count,
                "active": len(totals),
                "points": sum(total.n for total in totals.values()),
                "previous_points": sum(total.n for total in before.values()),
            },
            "stats": [
                answers.stat(row)
                | {
                    "summary": answers.summary(row.kind, totals.get(row.id, Total()), before.get(row.id, Total())),
                    "sparkline": answers.sparkline(row.kind, lines.get(row.id, [])),
                }
                for row in rows
            ],
            "alerts_firing": [],
            "newest": [answers.stat(row) for row in sorted(rows, key=lambda row: row.created_at, reverse=True)[:5]],
        }


def _answer(row: StatRow, span: Range, points: list[dict[str, Any]], total: Total, before: Total) -> dict[str, Any]:
    return {
        "stat": answers.stat(row),
        "from": answers.moment(span.start),
        "to": answers.moment(span.end),
        "resolution": next((name for name, width in ranges.WIDTHS.items() if width == span.width), "raw"),
        "points": points,
        "summary": answers.summary(row.kind, total, before),
    }


def _of(values: queries.Values) -> Total:
    if not len(values):
        return Total()
    return Total(len(values), float(values.sum()), float(values.min()), float(values.max()), float(values[-1]))
