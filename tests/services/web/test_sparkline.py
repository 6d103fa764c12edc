"""Courses as SVG paths."""

import re

from hypothesis import given
from hypothesis import strategies as st

from services.web.sparkline import HEIGHT, SLOTS, WIDTH, Spark, draw

POINTS = st.lists(st.tuples(st.floats(0, 24), st.floats(-1e12, 1e12)), max_size=60)


def test_nothing_is_drawn_for_nothing() -> None:
    assert draw([], 0, 24, gaps_are_zero=True) == Spark()


def test_a_counter_counted_nothing_where_it_has_no_points() -> None:
    line = draw([(23, 5)], 0, 24, gaps_are_zero=True).line
    assert len(places(line)) == SLOTS
    assert places(line)[0][1] > places(line)[-1][1], "from the ground up to the last slot"


def test_a_gauge_goes_straight_over_gaps() -> None:
    assert len(places(draw([(0, 5), (23, 6)], 0, 24, gaps_are_zero=False).line)) == 2


def test_a_single_value_of_a_gauge_is_a_dot() -> None:
    spark = draw([(12, 5)], 0, 24, gaps_are_zero=False)
    assert spark.line.endswith("h0")
    assert spark.area == ""


@given(POINTS, st.booleans())
def test_everything_stays_inside_the_box(points: list[tuple[float, float]], gaps_are_zero: bool) -> None:
    for x, y in places(draw(points, 0, 24, gaps_are_zero=gaps_are_zero).line):
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT


def places(line: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", line)]
