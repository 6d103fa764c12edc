"""Numbers, changes and ages as people read them."""

from datetime import UTC, datetime, timedelta

import pytest

from services.web import figures
from services.web.figures import Change


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1, "1"),
        (48213, "48,213"),
        (9_999_999, "9,999,999"),
        (12_345_678, "12.35 M"),
        (-12_345_678, "-12.35 M"),
        (3.2e9, "3.20 G"),
        (1e300, "1e+300"),
        (0.42, "0.42"),
        (0.00001234, "1.23e-05"),
        (131.5, "131.5"),
        (1234.56, "1,234.6"),
        (98_765.4, "98,765"),
        (-0.5, "-0.5"),
    ],
)
def test_numbers_are_short_and_exact_enough(value: float, text: str) -> None:
    assert figures.number(value) == text


def test_a_change_knows_its_direction() -> None:
    assert figures.change(12.44, judged=True) == Change("up", "12.4 %")
    assert figures.change(-0.06, judged=False) == Change("down", "0.1 %", judged=False)
    assert figures.change(1234.0, judged=True) == Change("up", "1,234 %")
    assert figures.change(0.01, judged=True) == Change("even", "0 %")


def test_without_a_period_before_there_is_no_change() -> None:
    assert figures.change(None, judged=True) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "just now"), (0.5, "just now"), (3, "3 s ago"), (119, "1 min ago"), (7200, "2 h ago"), (200_000, "2 d ago")],
)
def test_ages_are_told_in_their_largest_unit(seconds: float, text: str) -> None:
    now = datetime(2026, 11, 20, tzinfo=UTC)
    assert figures.ago(now - timedelta(seconds=seconds), now) == text


@pytest.mark.parametrize(
    ("email", "letters"), [("ada.kern@example.org", "ak"), ("ada@example.org", "a"), ("@example.org", "?")]
)
def test_a_person_has_initials(email: str, letters: str) -> None:
    assert figures.initials(email) == letters
