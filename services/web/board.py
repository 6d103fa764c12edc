"""The overview as the page shows it: out of the dashboard's data, every figure already written."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import msgspec

from services.web import figures, sparkline
from services.web.figures import Change
from services.web.sparkline import Spark

RANGES = ("1h", "6h", "24h", "7d", "30d")
MOST_TILES = 4
LEAST_TILES = 3  # fewer say nothing that the table does not say
NOTHING = "–"


class Summary(msgspec.Struct):
    """Of `GET /api/v1/dashboard`, as everything below: only what the page needs."""

    n: int = 0
    total: float | None = None
    mean: float | None = None
    change: float | None = None


class Stat(msgspec.Struct):
    id: str
    name: str
    type: Literal["counter", "gauge"]
    summary: Summary
    unit: str = ""
    pinned: bool = False
    last_point_at: datetime | None = None
    sparkline: list[tuple[float, float]] = []


class Totals(msgspec.Struct):
    stats: int


class Dashboard(msgspec.Struct):
    range: str
    start: datetime = msgspec.field(name="from")
    to: datetime
    totals: Totals
    stats: list[Stat]


@dataclass(frozen=True)
class StatView:
    """`points` is how many landed within the range."""

    id: str
    name: str
    kind: Literal["counter", "gauge"]
    unit: str
    figure: str
    change: Change | None
    spark: Spark
    last_point_at: datetime | None = None
    points: int = 0


@dataclass(frozen=True)
class Board:
    """`count` is how many stats there are in all, also those that are not shown."""

    range: str
    count: int
    stats: Sequence[StatView]
    tiles: Sequence[StatView] = field(default=())
    last_point_at: datetime | None = None


def of(dashboard: Dashboard) -> Board:
    views = {stat.id: _view(stat, dashboard) for stat in dashboard.stats}
    important = sorted(dashboard.stats, key=lambda stat: (not stat.pinned, -stat.summary.n))[:MOST_TILES]
    shown = {stat.id for stat in important}
    return Board(
        range=dashboard.range,
        count=dashboard.totals.stats,
        stats=list(views.values()),
        tiles=[view for view in views.values() if view.id in shown] if len(shown) >= LEAST_TILES else [],
        last_point_at=max((stat.last_point_at for stat in dashboard.stats if stat.last_point_at), default=None),
    )


def _view(stat: Stat, dashboard: Dashboard) -> StatView:
    value = stat.summary.total if stat.type == "counter" else stat.summary.mean
    return StatView(
        id=stat.id,
        name=stat.name,
        kind=stat.type,
        unit=stat.unit,
        figure=NOTHING if value is None else figures.number(value),
        change=figures.change(stat.summary.change, judged=stat.type == "counter"),
        spark=sparkline.draw(
            stat.sparkline,
            dashboard.start.timestamp(),
            dashboard.to.timestamp(),
            gaps_are_zero=stat.type == "counter",
        ),
        last_point_at=stat.last_point_at,
        points=stat.summary.n,
    )


def _example(name: str, unit: str, figure: float, percent: float, course: Sequence[float]) -> StatView:
    points = [(float(at), value) for at, value in enumerate(course)]
    return StatView(
        id="",
        name=name,
        kind="gauge" if unit else "counter",
        unit=unit,
        figure=figures.number(figure),
        change=figures.change(percent, judged=not unit),
        spark=sparkline.draw(points, 0.0, float(len(points)), gaps_are_zero=False),
    )


EXAMPLES = (
    _example(
        "signups",
        "",
        312,
        12.4,
        (3, 2, 2, 4, 5, 7, 9, 12, 15, 14, 17, 19, 18, 21, 20, 17, 18, 15, 16, 13, 14, 11, 12, 13),
    ),
    _example(
        "response time",
        "ms",
        131,
        -6.8,
        (52, 50, 55, 49, 47, 51, 58, 62, 60, 66, 64, 71, 69, 65, 67, 61, 58, 60, 55, 52, 54, 49, 47, 45),
    ),
)
"""Shown to strangers, and called examples there."""
