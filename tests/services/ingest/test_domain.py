"""Decisions about stats."""

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain import InvalidStat, Stat


def make() -> Stat:
    stat = Stat(uuid4(), "live", "signups", "counter", "test")
    stat.collect_events()
    return stat


@given(st.text(max_size=32), st.text(max_size=100), st.sampled_from(["", "#0f766e"]), st.booleans())
def test_the_same_description_twice_is_one_event(unit: str, description: str, colour: str, pinned: bool) -> None:
    stat = make()
    stat.describe(unit, description, colour, pinned, "test")
    stat.collect_events()
    stat.describe(unit, description, colour, pinned, "test")
    assert not stat.collect_events()


def test_deleting_twice_is_one_event() -> None:
    stat = make()
    stat.delete("test")
    stat.delete("test")
    assert len(stat.collect_events()) == 1


@pytest.mark.parametrize(("field", "value"), [("unit", "x" * 33), ("description", "x" * 2001), ("colour", "red")])
def test_a_description_that_can_not_be_shown_is_refused(field: str, value: str) -> None:
    given: dict[str, str] = {"unit": "", "description": "", "colour": "", field: value}
    with pytest.raises(InvalidStat) as refused:
        make().describe(**given, pinned=False, actor="test")
    assert refused.value.field == field
