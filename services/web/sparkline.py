"""The course of a stat as two SVG paths in a box of 120 by 28."""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 120.0, 28.0
_MARGIN = 2.0  # room for the stroke
SLOTS = 24


@dataclass(frozen=True)
class Spark:
    """`line` and `area` are SVG path data; both empty when there is nothing to draw."""

    line: str = ""
    area: str = ""


def draw(points: Sequence[tuple[float, float]], start: float, end: float, *, gaps_are_zero: bool) -> Spark:
    """Points (time, value) of [start, end). A counter without points counted nothing (`gaps_are_zero`); a gauge
    without points is not known: its line goes straight to the next one."""
    if not points or end <= start:
        return Spark()
    slots = _slots(points, start, end)
    heights = [(slot, slots.get(slot, 0.0)) for slot in range(SLOTS)] if gaps_are_zero else sorted(slots.items())
    low = min(value for _, value in heights)
    if gaps_are_zero:
        low = min(low, 0.0)  # counts stand on the ground; corrections may go below it
    high = max(value for _, value in heights)
    places = [(_x(slot), _y(value, low, high)) for slot, value in heights]
    if len(places) == 1:  # a round stroke without length is a dot
        return Spark(line=f"M{places[0][0]:.1f} {places[0][1]:.1f}h0")
    line = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    return Spark(line=line, area=f"{line}L{places[-1][0]:.1f} {HEIGHT:.0f}L{places[0][0]:.1f} {HEIGHT:.0f}Z")


def _slots(points: Sequence[tuple[float, float]], start: float, end: float) -> dict[int, float]:
    width = (end - start) / SLOTS
    slots: dict[int, float] = {}
    for at, value in points:
        slots[min(SLOTS - 1, max(0, int((at - start) / width)))] = value
    return slots


def _x(slot: int) -> float:
    return slot / (SLOTS - 1) * WIDTH


def _y(value: float, low: float, high: float) -> float:
    if high <= low:
        return HEIGHT / 2
    return _MARGIN + (1 - (value - low) / (high - low)) * (HEIGHT - 2 * _MARGIN)
