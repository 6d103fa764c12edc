"""What old tools ask through StatHat's export API: timeframes, and points without gaps."""

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from libs.contracts.accounts import Mode
from libs.contracts.ingest import partition_of
from libs.eventstore.database import Database
from libs.http.errors import BadRequest, NotFound
from libs.runtime.clock import Clock
from libs.series import buckets, ranges
from services.ingest import answers, queries
from services.ingest.queries import StatRow

PAGE = 10_000
MOST_POINTS = 10_000
_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800, "M": 2_592_000, "y": 31_536_000}
_TIMEFRAME = re.compile(r"(\d{1,4})([mhdwMy])(\d{1,4})([mhdwMy])").fullmatch
_SPAN = re.compile(r"(\d{1,4})([mhdwMy])").fullmatch


@dataclass(frozen=True)
class Timeframe:
    """`length` seconds in intervals of `width` seconds; `text` is how it was asked for."""

    text: str
    length: int
    width: int


def timeframe(text: str) -> Timeframe:
    """`1w3h`: a week in intervals of three hours. Units m h d w M y."""
    found = _TIMEFRAME(text)
    if found is None:
        raise BadRequest("t must be two spans of time such as 1w3h (units m h d w M y)", param="t")
    count, unit, by_count, by_unit = found.groups()
    return _checked(Timeframe(text, int(count) * _UNITS[unit], int(by_count) * _UNITS[by_unit]), "t")


def summary(text: str) -> Timeframe:
    """`1w`: a week, day by day."""
    found = _SPAN(text)
    if found is None:
        raise BadRequest("summary must be a span of time such as 1w (units m h d w M y)", param="summary")
    count, unit = found.groups()
    return _checked(Timeframe(text, int(count) * _UNITS[unit], _UNITS["d"]), "summary")


def _checked(wanted: Timeframe, param: str) -> Timeframe:
    if not 0 < wanted.width <= wanted.length or wanted.length // wanted.width > MOST_POINTS:
        raise BadRequest(f"{param} must ask for 1 to {MOST_POINTS:,} points", param=param)
    return wanted


class StatHat:
    """Reads as StatHat did. Raises 404 and `DatabaseUnavailable`."""

    def __init__(self, database: Database, clock: Clock, partitions: int) -> None:
        self._database = database
        self._clock = clock
        self._partitions = partitions

    async def stats(self, account: UUID, mode: Mode, offset: int) -> list[dict[str, Any]]:
        async with self._database.tenant(account) as cursor:
            rows = await queries.stats_page(cursor, account, mode, offset, PAGE)
        return [_stat(row) for row in rows]

    async def stat(self, account: UUID, mode: Mode, name: str) -> dict[str, Any]:
        async with self._database.tenant(account) as cursor:
            return _stat(await self._find(cursor, account, mode, name))

    async def data(
        self, account: UUID, mode: Mode, names: list[str], wanted: Timeframe, start: float | None
    ) -> list[dict[str, Any]]:
        """Points of some stats, from `start` (Unix seconds) on or up to now."""
        first = self._clock.now() - wanted.length if start is None else start
        span = ranges.align(first, first + wanted.length, wanted.width)
        async with self._database.tenant(account) as cursor:
            return [await self._series(cursor, account, mode, name, wanted, span) for name in names]

    async def _find(self, cursor: queries.Cursor, account: UUID, mode: Mode, name: str) -> StatRow:
        row = await queries.stat(cursor, account, mode, name, partition_of(account, self._partitions))
        if row is None:
            raise NotFound("no such stat")
        return row

    async def _series(
        self, cursor: queries.Cursor, account: UUID, mode: Mode, name: str, wanted: Timeframe, span: ranges.Range
    ) -> dict[str, Any]:
        row = await self._find(cursor, account, mode, name)
        partition = partition_of(account, self._partitions)
        found = await buckets.read(cursor, "ingest", partition, row.id, span, MOST_POINTS + 2)
        values = {int(one.at): one.sum if row.kind == "counter" else one.mean for one in found}
        times = range(int(span.start), int(span.end), wanted.width)
        points = [{"time": at, "value": answers.number(values.get(at, 0.0))} for at in times]
        return {"name": row.name, "timeframe": wanted.text, "points": points}


def _stat(row: StatRow) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "name": row.name,
        "public": False,
        "counter": row.kind == "counter",
        "unit": row.unit,
        "classic_key": str(row.id),
        "created_at": answers.stamp(row.created_at),
    }
