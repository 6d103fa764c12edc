"""Rows of any file -> points: names and numbers as `/api/v1/batch` takes them, times also as people write them."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from libs.contracts.ingest import Kind
from services.ingest import parse
from services.ingest.batches import one_of
from services.ingest.domain import InvalidStat, clean_name
from services.ingest.parse import Refused

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST, _LATEST = -62_135_596_800, 253_402_300_799  # years 1 to 9999


class Unreadable(Exception):
    """The file can't be read any further; the message says why, and about where."""


class Point(NamedTuple):
    """A point of a file. `row` counts from 1, `kind` is None where the file leaves it open, `at` Unix microseconds."""

    row: int
    stat: str
    kind: Kind | None
    at: int
    value: float


class About(NamedTuple):
    """What a file says about a stat: unit, description, colour, pinned."""

    row: int
    stat: str
    kind: Kind | None
    details: Mapping[str, Any]


class Bad(NamedTuple):
    """A row that can't be taken."""

    row: int
    reason: str


Item = Point | About | Bad

_KINDS: Mapping[str, Kind | None] = {
    "": None, "counter": "counter", "count": "counter", "gauge": "gauge", "value": "gauge",
}  # fmt: skip
DETAILS: Mapping[str, type] = {"unit": str, "description": str, "colour": str, "pinned": bool}


class Rows:
    """Makes items of rows, whatever they were read from."""

    def __init__(self, now: float) -> None:
        self._now = now
        self._names: dict[str, str] = {}

    def point(self, row: int, stat: Any, kind: Any, count: Any, value: Any, t: Any, *, open_: bool) -> Point | Bad:
        """A point. A type that is given decides; else a count is a counter's, and a value a gauge's or, where `open_`,
        whatever the stat is."""
        try:
            meant, number = one_of(_number(count, "count"), _number(value, "value"))
            if open_ and meant == "gauge":
                meant = None
            return Point(row, self.name(stat), self.kind(kind) or meant, self._time(t), number)
        except Refused as error:
            return Bad(row, str(error))

    def about(self, row: int, stat: Any, kind: Any, told: Mapping[str, Any]) -> About | Bad:
        details = {name: told.get(name) for name, type_ in DETAILS.items() if isinstance(told.get(name), type_)}
        said = {name: value for name, value in details.items() if value}
        try:
            return About(row, self.name(stat), self.kind(kind), said)
        except Refused as error:
            return Bad(row, str(error))

    def name(self, stat: Any) -> str:
        if not isinstance(stat, str):
            raise Refused("stat", "stat must be a name")
        name = self._names.get(stat)
        if name is None:
            if len(self._names) > 100_000:
                self._names.clear()
            name = self._names[stat] = _clean(stat)
        return name

    @staticmethod
    def kind(kind: Any) -> Kind | None:
        try:
            return _KINDS["" if kind is None else kind.strip().lower()]
        except (KeyError, AttributeError):
            raise Refused("type", "type must be counter or gauge") from None

    def _time(self, t: Any) -> int:
        if t is None or t == "":
            return round(self._now * 1e6)
        at = moment(t)
        if at > (self._now + parse.DAY) * 1e6:
            raise Refused("t", "t is more than 24 hours in the future")
        return at


def _clean(stat: str) -> str:
    try:
        name = clean_name(stat)
        name.encode()
    except InvalidStat as error:
        raise Refused("stat", str(error)) from None
    except UnicodeEncodeError:
        raise Refused("stat", "stat must be UTF-8") from None
    return name


_DECIMAL = re.compile(r"[+-]?(\d{1,15}(\.\d{0,30})?|\.\d{1,30})([eE][+-]?\d{1,2})?").fullmatch


def moment(t: Any) -> int:
    """Unix microseconds of Unix seconds (any kind of number, or its text), a date or an RFC 3339 time; exactly."""
    try:
        if isinstance(t, str):
            text = t.strip()
            return _micros(Decimal(text)) if _DECIMAL(text) else _rfc3339(text)
        if isinstance(t, int | float | Decimal) and not isinstance(t, bool):
            return _micros(t)
    except (ValueError, OverflowError, InvalidOperation):
        pass
    raise Refused("t", "t must be Unix seconds, a date or an RFC 3339 time")


def _micros(seconds: float | Decimal) -> int:
    if not _EARLIEST <= seconds <= _LATEST:
        raise Refused("t", "t must be between the years 1 and 9999")
    return round(seconds * 1_000_000)


def _rfc3339(text: str) -> int:
    at = datetime.fromisoformat(text)
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH) // timedelta(microseconds=1)


def _number(number: Any, param: str) -> float | None:
    if number is None or number == "":
        return None
    if isinstance(number, str):
        return parse.number(number.strip().encode(errors="replace"), param)
    if isinstance(number, bool) or not isinstance(number, int | float | Decimal):
        raise Refused(param, f"{param} must be a number")
    try:
        return parse.finite(float(number), param)
    except OverflowError:
        raise Refused(param, f"{param} must be a finite number") from None


def of_object(rows: Rows, number: int, row: Mapping[str, Any]) -> Iterator[Item]:
    """An object that is a point, says something about a stat, or both."""
    stat, kind = row.get("stat", row.get("name")), row.get("type")
    if "type" in row or any(name in row for name in DETAILS):
        about = rows.about(number, stat, kind, row)
        yield about
        if isinstance(about, Bad):
            return
    if row.get("count") is not None or row.get("value") is not None or "type" not in row:
        yield rows.point(number, stat, kind, row.get("count"), row.get("value"), time_of(row), open_=False)


def time_of(row: Mapping[str, Any]) -> Any:
    return next((row[name] for name in ("t", "time", "timestamp") if row.get(name) is not None), None)
