"""JSON documents of any size, event by event."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import ijson

from services.ingest.imports.rows import DETAILS, Bad, Item, Rows, Unreadable, of_object, time_of

STRING_LIMIT = 64 << 20
DEPTH_LIMIT = 32
_ROOTS = ("item", "stats.item", "data.item")
_SCALARS = frozenset({"string", "number", "boolean", "null"})
_QUOTE = re.compile(rb'(?<!\\)"').search
_KEPT = frozenset({"stat", "name", "type", "count", "value", "t", "time", "timestamp", *DETAILS})


def read(path: Path, rows: Rows) -> Iterator[Item]:
    """Elements of the outermost list, or of `stats` or `data` in an object."""
    with path.open("rb") as file:
        reader = _JsonReader(rows)
        try:
            for prefix, event, value in _with_prefixes(ijson.basic_parse(_Guarded(file), buf_size=1 << 16)):
                yield from reader.take(prefix, event, value)
        except (ijson.JSONError, ValueError):
            raise Unreadable(f"the file is not valid JSON after row {reader.row}") from None


def _with_prefixes(events: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, str, Any]]:
    """As `ijson.parse`, which would spend minutes and gigabytes on the paths of a deeply nested document."""
    path: list[str] = []
    for event, value in events:
        if event == "map_key":
            path[-1] = value
        elif event in ("start_map", "start_array"):
            yield ".".join(path), event, value
            path.append("item" if event == "start_array" else "")
            if len(path) > DEPTH_LIMIT:
                raise Unreadable("values are nested too deeply")
        else:
            if event in ("end_map", "end_array"):
                path.pop()
            yield ".".join(path), event, value


class _Guarded:
    """A file whose strings and numbers are not longer than there is memory for."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._since_quote = 0

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._since_quote = 0 if _QUOTE(data) else self._since_quote + len(data)
        if self._since_quote > STRING_LIMIT:
            raise Unreadable(f"a value is longer than {STRING_LIMIT >> 20} MiB")
        return data


class _JsonReader:
    """Follows the events of a file. An element is a point, or a stat with `points`: pairs [t, value] or objects."""

    def __init__(self, rows: Rows) -> None:
        self.row = 0
        self._rows = rows
        self._element: dict[str, Any] | None = None
        self._root = ""
        self._with_points = False
        self._pair: list[Any] = []
        self._point: dict[str, Any] = {}

    def take(self, prefix: str, event: str, value: Any) -> Iterator[Item]:
        if self._element is None:
            if event == "start_map" and prefix in _ROOTS:
                self._begin(prefix)
        elif prefix == self._root:
            if event == "end_map":
                yield from self._end()
        else:
            yield from self._inside(prefix[len(self._root) + 1 :], event, value)

    def _begin(self, root: str) -> None:
        self._element, self._root, self._with_points = {}, root, False

    def _inside(self, path: str, event: str, value: Any) -> Iterator[Item]:
        assert self._element is not None
        if path == "points.item.item":
            if len(self._pair) < 3 and event in _SCALARS:
                self._pair.append(value)
        elif path == "points.item":
            yield from self._at_point(event)
        elif path.startswith("points.item."):
            if event in _SCALARS and (name := path[12:]) in _KEPT:
                self._point[name] = value
        elif path == "points":
            if event == "start_array":
                self._with_points = True
                yield self._about()
        elif event in _SCALARS and path in _KEPT:
            self._element[path] = value

    def _at_point(self, event: str) -> Iterator[Item]:
        if event in ("start_array", "start_map"):
            self._pair, self._point = [], {}
        elif event == "end_array" and len(self._pair) == 2:
            yield self._emit(None, self._pair[1], self._pair[0])
        elif event == "end_map":
            yield self._emit(self._point.get("count"), self._point.get("value"), time_of(self._point))
        else:
            self.row += 1
            yield Bad(self.row, "a point is a pair [t, value] or an object with t and value")

    def _emit(self, count: Any, value: Any, t: Any) -> Item:
        assert self._element is not None
        self.row += 1
        stat, kind = self._element.get("stat", self._element.get("name")), self._element.get("type")
        return self._rows.point(self.row, stat, kind, count, value, t, open_=True)

    def _about(self) -> Item:
        assert self._element is not None
        stat = self._element.get("stat", self._element.get("name"))
        return self._rows.about(self.row, stat, self._element.get("type"), self._element)

    def _end(self) -> Iterator[Item]:
        element, self._element = self._element, None
        assert element is not None
        if not self._with_points:
            self.row += 1
            yield from of_object(self._rows, self.row, element)
