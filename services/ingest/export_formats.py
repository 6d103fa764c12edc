"""How an export is written: JSON, NDJSON, CSV. `import_formats` reads all three back to the same stats and points."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec
import numpy as np

from services.ingest import answers
from services.ingest.export import Chunk
from services.ingest.queries import Times

CSV_HEADER = ("stat", "type", "t", "value")
FORMULA = "=+-@\t\r＝＋－＠"
"""What a spreadsheet may take for the beginning of a formula (OWASP, CSV injection)."""


class Format(Protocol):
    """One format; `chunk` is called for every chunk in turn."""

    media_type: str

    def head(self, now: float) -> bytes: ...

    def chunk(self, chunk: Chunk) -> bytes: ...

    def tail(self) -> bytes: ...


def defused(name: str) -> str:
    """A name as it may stand in a spreadsheet's cell: one apostrophe before what could start a formula, or before an
    apostrophe, so that it can be taken away again."""
    return f"'{name}" if name[0] in FORMULA or name[0] == "'" else name


def armed(cell: str) -> str:
    """The inverse of `defused`."""
    return cell[1:] if len(cell) > 1 and cell[0] == "'" and (cell[1] in FORMULA or cell[1] == "'") else cell


class Json:
    """One object; `stats` holds an element for every chunk: a stat with many points has several, of which the first
    says what the stat is. Points are `[Unix seconds, value]`."""

    media_type = "application/json"

    def __init__(self) -> None:
        self._begun = False

    def head(self, now: float) -> bytes:
        at = answers.stamp(datetime.fromtimestamp(now, UTC))
        return b'{"format":"ezstat","version":1,"exported_at":"%b","stats":[' % at.encode()

    def chunk(self, chunk: Chunk) -> bytes:
        about: dict[str, Any] = {"stat": chunk.stat.name, "type": chunk.stat.kind}
        if chunk.first:
            about |= _details(chunk) | {"created_at": answers.stamp(chunk.stat.created_at)}
        points = ",".join([f"[{t},{value}]" for t, value in zip(_seconds(chunk.times), _numbers(chunk), strict=True)])
        comma = b",\n" if self._begun else b"\n"
        self._begun = True
        return comma + msgspec.json.encode(about)[:-1] + f',"points":[{points}]}}'.encode()

    def tail(self) -> bytes:
        return b"\n]}\n"


class Ndjson:
    """A line for every point, as `/api/v1/batch` takes them; the first line of a stat also says what the stat is.
    A stat without points has one line without a number."""

    media_type = "application/x-ndjson"

    def head(self, now: float) -> bytes:
        return b""

    def chunk(self, chunk: Chunk) -> bytes:
        name = msgspec.json.encode(chunk.stat.name).decode()
        word = "count" if chunk.stat.kind == "counter" else "value"
        ends = [
            f'"{word}":{value},"t":{t}}}\n'
            for t, value in zip(_seconds(chunk.times), _numbers(chunk), strict=True)
        ]  # fmt: skip
        start = f'{{"stat":{name},'
        lines = [start + end for end in ends]
        if chunk.first:
            about = {"stat": chunk.stat.name, "type": chunk.stat.kind} | _details(chunk)
            head = msgspec.json.encode(about).decode()[:-1]
            lines[:1] = [f"{head},{ends[0]}" if ends else f"{head}}}\n"]
        return "".join(lines).encode()

    def tail(self) -> bytes:
        return b""


class Csv:
    """`stat,type,t,value`, times in RFC 3339 to the microsecond. Safe to open in a spreadsheet (`defused`). A stat
    without points is not in it."""

    media_type = "text/csv; charset=utf-8"

    def head(self, now: float) -> bytes:
        return ",".join(CSV_HEADER).encode() + b"\r\n"

    def chunk(self, chunk: Chunk) -> bytes:
        start = f"{_cell(defused(chunk.stat.name))},{chunk.stat.kind},"
        return "".join(
            [f"{start}{t},{value}\r\n" for t, value in zip(_rfc3339(chunk.times), _numbers(chunk), strict=True)]
        ).encode()

    def tail(self) -> bytes:
        return b""


def _details(chunk: Chunk) -> dict[str, Any]:
    """What people said about a stat; what they left out is left out."""
    stat = chunk.stat
    told = {"unit": stat.unit, "description": stat.description, "colour": stat.colour, "pinned": stat.pinned}
    return {name: value for name, value in told.items() if value}


def _cell(text: str) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="").writerow([text])
    return written.getvalue()


def _numbers(chunk: Chunk) -> Iterator[int | float]:
    return map(answers.number, chunk.values.tolist())


def _seconds(times: Times) -> Iterator[str]:
    """Unix seconds with as many decimals as there are, exactly."""
    for at in times.tolist():
        whole, rest = divmod(abs(at), 1_000_000)
        sign = "-" if at < 0 else ""
        yield f"{sign}{whole}.{rest:06}".rstrip("0") if rest else f"{sign}{whole}"


def _rfc3339(times: Times) -> list[str]:
    texts: list[str] = np.datetime_as_string(times.view("<M8[us]"), unit="us", timezone="UTC").tolist()
    return texts


FORMATS: dict[str, type[Format]] = {"json": Json, "ndjson": Ndjson, "csv": Csv}
