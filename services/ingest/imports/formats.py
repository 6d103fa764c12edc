"""Which format a file has, and reading it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

import msgspec

from services.ingest.imports import documents, lines, tables
from services.ingest.imports.rows import Item, Rows

FormatName = Literal["json", "ndjson", "csv"]
FORMAT_NAMES: tuple[FormatName, ...] = get_args(FormatName)
_SNIFFED = 64 << 10
_READERS = {"json": documents.read, "ndjson": lines.read, "csv": tables.read}


def detect(path: Path) -> FormatName:
    """The format of a file by how it begins."""
    with path.open("rb") as file:
        start = file.read(_SNIFFED).removeprefix(b"\xef\xbb\xbf").lstrip()
    if start[:1] == b"[":
        return "json"
    if start[:1] != b"{":
        return "csv"
    try:
        first = msgspec.json.decode(start.split(b"\n", 1)[0])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "json"  # an object over several lines
    return "ndjson" if isinstance(first, dict) and ("stat" in first or "name" in first) else "json"


def read(path: Path, format_: FormatName, now: float) -> Iterator[Item]:
    """The items of a file in their order, the same ones each time. Points without a time get `now`, Unix seconds; those
    more than a day after it are bad. Raises `Unreadable`."""
    return _READERS[format_](path, Rows(now))
