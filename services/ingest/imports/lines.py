"""NDJSON, and lines of bounded length."""

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from services.ingest.imports.rows import Bad, Item, Rows, Unreadable, of_object

LINE_LIMIT = 1 << 20


def read(path: Path, rows: Rows) -> Iterator[Item]:
    """Every line is an object: a point, or what a stat is."""
    with path.open("rb") as file:
        for number, line in enumerate(bounded(file.readline), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line, parse_float=Decimal)
            except (ValueError, RecursionError):
                yield Bad(number, "this line is not valid JSON")
                continue
            if isinstance(row, dict):
                yield from of_object(rows, number, row)
            else:
                yield Bad(number, "this line is not an object")


def bounded(readline: Callable[[int], Any]) -> Iterator[Any]:
    """Lines of a file, none of them longer than there is memory for."""
    number = 0
    while line := readline(LINE_LIMIT):
        number += 1
        if len(line) >= LINE_LIMIT:
            raise Unreadable(f"line {number} is longer than {LINE_LIMIT >> 20} MiB")
        yield line
