"""Which numbers of a growing sequence were seen: one range when nothing is missing."""

from bisect import bisect_right
from collections.abc import Iterable


class Ranges:
    """Half-open ranges of whole numbers, sorted, never touching. Constant in size while numbers come about in order."""

    __slots__ = ("_ends", "_starts")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in sorted(ranges):
            self._starts.append(start)
            self._ends.append(end)

    def add(self, number: int) -> bool:
        """Remember a number; False when it was there already."""
        starts, ends = self._starts, self._ends
        at = bisect_right(starts, number)
        if at and number < ends[at - 1]:
            return False
        after, before = bool(at and ends[at - 1] == number), at < len(starts) and starts[at] == number + 1
        if after and before:
            ends[at - 1] = ends.pop(at)
            del starts[at]
        elif after:
            ends[at - 1] = number + 1
        elif before:
            starts[at] = number
        else:
            starts.insert(at, number)
            ends.insert(at, number + 1)
        return True

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._starts, number)
        return bool(at and number < self._ends[at - 1])

    def __len__(self) -> int:
        """How many ranges there are."""
        return len(self._starts)

    def literal(self) -> str:
        """As Postgres writes an `int8multirange`."""
        return "{" + ",".join(f"[{start},{end})" for start, end in zip(self._starts, self._ends, strict=True)) + "}"
