"""CSV, with a line that names the columns or without, ours or others'."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from services.ingest.export_formats import CSV_HEADER, armed
from services.ingest.imports.lines import bounded
from services.ingest.imports.rows import Bad, Item, Rows, Unreadable

_COLUMNS = {
    "stat": "stat", "name": "stat", "type": "type", "kind": "type", "t": "t", "time": "t", "timestamp": "t",
    "date": "t", "value": "value", "count": "count",
}  # fmt: skip
_WITHOUT_HEADER = {2: ("stat", "value"), 3: ("stat", "t", "value"), 4: CSV_HEADER}


def read(path: Path, rows: Rows) -> Iterator[Item]:
    """A row is a point."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        lines = bounded(file.readline)
        first = next(lines, "")
        cells = csv.reader(_again(first, lines), delimiter=_delimiter(first))
        columns: Sequence[str] | None = None
        number = 0
        try:
            for row in cells:
                number += 1
                if not any(row):
                    continue
                if columns is None:
                    columns = _header(row)
                    if columns is not None:
                        continue
                    columns = _without_header(row)
                yield _of_cells(rows, number, columns, row)
        except csv.Error as error:
            raise Unreadable(f"row {number + 1} is not valid CSV: {error}") from None


def _again(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _delimiter(line: str) -> str:
    """Spreadsheets of many countries write semicolons."""
    return max(",;\t", key=line.count)


def _header(row: Sequence[str]) -> Sequence[str] | None:
    """The columns, if this row names them."""
    names = [_COLUMNS.get(cell.strip().lower(), "") for cell in row]
    return names if "stat" in names and ("value" in names or "count" in names) else None


def _without_header(row: Sequence[str]) -> Sequence[str]:
    columns = _WITHOUT_HEADER.get(len(row))
    if columns is None:
        raise Unreadable(
            "the first row names no columns: stat (or name), type, t (or time, timestamp), value (or count); without"
            " names 2 columns are stat,value, 3 are stat,t,value and 4 are stat,type,t,value"
        )
    return columns


def _of_cells(rows: Rows, number: int, columns: Sequence[str], row: Sequence[str]) -> Item:
    if len(row) < len(columns):
        return Bad(number, f"this row has {len(row)} cells, the first has {len(columns)}")
    found = dict(zip(columns, row, strict=False))
    kind, value, count = found.get("type") or None, found.get("value") or None, found.get("count") or None
    # `value` in a table without types says nothing about the type.
    return rows.point(number, armed(found["stat"].strip()), kind, count, value, found.get("t"), open_=True)
