"""Ranges and resolutions as users write them."""

from datetime import UTC, datetime

import pytest

from libs.series import ranges
from libs.series.ranges import BadRange

NOW = datetime(2026, 3, 8, 12, 34, 56, tzinfo=UTC).timestamp()


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("named", "width"),
    [("1h", 60), ("6h", 60), ("24h", 300), ("7d", 3600), ("30d", 3600), ("90d", 86_400), ("1y", 86_400)],
)
def test_auto_resolution_stays_below_a_thousand_buckets(named: str, width: int) -> None:
    span = ranges.parse(NOW, named=named)
    assert span.width == width
    assert (span.end - span.start) / width <= 1002


def test_a_date_as_an_end_includes_its_whole_day() -> None:
    span = ranges.parse(NOW, start="2026-03-01", end="2026-03-07")
    assert (span.start, span.end) == (at("2026-03-01T00:00Z"), at("2026-03-08T00:00Z"))


def test_rfc_3339_and_unix_seconds_are_the_same_moment() -> None:
    assert ranges.moment("2026-03-01T00:00:00Z", "from") == ranges.moment(str(at("2026-03-01T00:00Z")), "from")
    assert ranges.moment("2026-03-01T02:00:00 02:00", "from") == at("2026-03-01T00:00Z")


def test_the_period_before_is_as_long() -> None:
    span = ranges.parse(NOW, named="7d")
    before = span.before()
    assert before.end == span.start
    assert before.end - before.start == span.end - span.start


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"named": "2h"}, "range"),
        ({"named": "24h", "start": "2026-03-01"}, "range"),
        ({"end": "2026-03-01"}, "from"),
        ({"start": "yesterday"}, "from"),
        ({"start": "2026-02-30"}, "from"),
        ({"start": "1e400"}, "from"),
        ({"start": "99999999999999"}, "from"),
        ({"start": "2026-03-02", "end": "2026-03-01"}, "to"),
        ({"resolution": "7m"}, "resolution"),
    ],
)
def test_a_range_that_can_not_be_understood_names_its_parameter(query: dict[str, str], param: str) -> None:
    with pytest.raises(BadRange) as refused:
        ranges.parse(NOW, **query)  # type: ignore[arg-type]
    assert refused.value.param == param
