"""Ranges of time as users write them, and the resolution that suits them."""

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

NAMED = {"1h": 3600, "6h": 21_600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000, "90d": 7_776_000, "1y": 31_536_000}
WIDTHS = {"1m": 60, "5m": 300, "1h": 3600, "1d": 86_400}
RAW = 0
MOST_BUCKETS = 1000
_FIRST, _LAST = -62_135_596_800.0, 253_402_300_799.0


class BadRange(ValueError):
    """`param` can't be understood; the message says what would be right."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


@dataclass(frozen=True)
class Range:
    """[start, end) in Unix seconds and the width of its buckets in seconds (`RAW`: points as sent).

    Unless raw, both ends lie on bucket borders: `start` is rounded down, `end` up.
    """

    start: float
    end: float
    width: int

    def before(self) -> "Range":
        """The period of the same length just before this one."""
        return Range(self.start - (self.end - self.start), self.start, self.width)


def moment(text: str, param: str, *, end: bool = False) -> float:
    """Unix seconds of a date, an RFC 3339 time or Unix seconds. A date as an end includes its whole day."""
    try:
        if len(text) == 10 and text[4] == "-":
            day = date.fromisoformat(text)
            midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
            return (midnight + timedelta(days=1) if end else midnight).timestamp()
        seconds = float(text) if _is_number(text) else _rfc3339(text)
    except (ValueError, OverflowError):
        raise BadRange(param, f"{param} must be a date, an RFC 3339 time or Unix seconds") from None
    if not _FIRST <= seconds <= _LAST:
        raise BadRange(param, f"{param} must be between the years 1 and 9999")
    return seconds


def _is_number(text: str) -> bool:
    return text.removeprefix("-").replace(".", "", 1).isascii() and text.removeprefix("-").replace(".", "", 1).isdigit()


def _rfc3339(text: str) -> float:
    # A plus sign that nobody escaped arrives as a space.
    moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def parse(
    now: float, *, named: str = "", start: str = "", end: str = "", resolution: str = "auto", default: str = "24h"
) -> Range:
    """A range out of query parameters: `range`, or `from` and `to` (now when left out). Raises `BadRange`."""
    if named and (start or end):
        raise BadRange("range", "send range, or from and to, not both")
    if end and not start:
        raise BadRange("from", "from is required where to is sent")
    if start:
        first = moment(start, "from")
        last = moment(end, "to", end=True) if end else now
        if last <= first:
            raise BadRange("to", "to must be later than from")
    else:
        if (named or default) not in NAMED:
            raise BadRange("range", f"range must be one of {', '.join(NAMED)}")
        first, last = now - NAMED[named or default], now
    return align(first, last, _width(resolution, last - first))


def _width(resolution: str, length: float) -> int:
    if resolution == "raw":
        return RAW
    if resolution == "auto":
        # 1,000 buckets are about what a chart can show.
        return next((width for width in WIDTHS.values() if length <= width * MOST_BUCKETS), WIDTHS["1d"])
    if resolution not in WIDTHS:
        raise BadRange("resolution", f"resolution must be one of raw, {', '.join(WIDTHS)}, auto")
    return WIDTHS[resolution]


def align(start: float, end: float, width: int) -> Range:
    """A range whose ends lie on borders of its buckets."""
    if width == RAW:
        return Range(start, end, RAW)
    return Range(math.floor(start / width) * width, math.ceil(end / width) * width, width)
