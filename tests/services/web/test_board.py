"""From the dashboard's data to what the overview shows."""

from typing import Any

import msgspec

from services.web import board
from services.web.board import Dashboard


def dashboard(*stats: dict[str, Any]) -> Dashboard:
    said = {
        "range": "24h",
        "from": "2026-11-19T12:00:00.000Z",
        "to": "2026-11-20T12:00:00.000Z",
        "totals": {"stats": len(stats), "active": 0, "points": 0, "previous_points": 0},
        "stats": list(stats),
        "newest": [],
    }
    return msgspec.convert(said, Dashboard)


def stat(name: str, kind: str = "counter", n: int = 0, pinned: bool = False, **summary: Any) -> dict[str, Any]:
    return {
        "id": name,
        "name": name,
        "type": kind,
        "unit": "",
        "pinned": pinned,
        "last_point_at": f"2026-11-20T11:{n % 60:02}:00.000Z" if n else None,
        "summary": {"n": n, **summary},
        "sparkline": [],
    }


def test_counters_show_their_total_and_gauges_their_mean() -> None:
    shown = board.of(dashboard(stat("a", total=1200, change=5.0), stat("b", "gauge", mean=0.5, change=5.0)))
    assert [view.figure for view in shown.stats] == ["1,200", "0.5"]
    assert [view.change.judged for view in shown.stats if view.change] == [True, False]


def test_a_gauge_without_points_has_no_figure() -> None:
    assert board.of(dashboard(stat("a", "gauge", mean=None))).stats[0].figure == "–"


def test_pinned_stats_come_first_among_the_tiles_then_the_busiest() -> None:
    stats = [stat(name, n=n, total=n) for name, n in (("a", 1), ("b", 50), ("c", 30), ("d", 20), ("e", 10))]
    shown = board.of(dashboard(*stats, stat("z", pinned=True, total=0)))
    assert [view.name for view in shown.tiles] == ["b", "c", "d", "z"]


def test_few_stats_need_no_tiles() -> None:
    assert list(board.of(dashboard(stat("a", total=1), stat("b", total=1))).tiles) == []


def test_the_last_point_of_all_is_known() -> None:
    shown = board.of(dashboard(stat("a", n=5, total=5), stat("b", n=7, total=7), stat("c", total=0)))
    assert shown.last_point_at is not None
    assert shown.last_point_at.minute == 7
    assert board.of(dashboard()).last_point_at is None
