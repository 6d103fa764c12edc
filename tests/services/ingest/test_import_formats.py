"""Files of every format and of every hand become the same points."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.ingest.imports import documents, formats
from services.ingest.imports.chunks import ROWS, chunks
from services.ingest.imports.rows import About, Bad, Item, Point, Unreadable

NOW = 1_790_000_000.0
T = 1_772_323_200_000_000
Write = Callable[[str | bytes], list[Item]]


@pytest.fixture
def read(tmp_path: Path) -> Write:
    """Items of a file with this content, its format found out."""

    def read(content: str | bytes) -> list[Item]:
        path = tmp_path / "file"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return list(formats.read(path, formats.detect(path), NOW))

    return read


def points(items: list[Item]) -> list[tuple[Any, ...]]:
    return [tuple(item[1:]) for item in items if isinstance(item, Point)]


@pytest.mark.parametrize(
    "content",
    [
        "stat,type,t,value\r\nsignups,counter,2026-03-01T00:00:00Z,2\r\n",
        "\ufeffName;Kind;Date;Value\nsignups;counter;2026-03-01;2\n",
        "signups,counter,1772323200,2\n",
        "stat,count,time\nsignups,2,2026-03-01 00:00:00\n",
        "timestamp\tcount\tname\n1772323200.000000\t2.0\tsignups\n",
        '{"stat":"signups","count":2,"t":1772323200}\n',
        '{"stat":"signups","type":"counter","count":"2","t":"1772323200"}\n\n',
        '{"name":"signups","type":"counter","value":2,"timestamp":"2026-03-01T01:00:00+01:00"}',
        '[{"stat":"signups","count":2,"t":1772323200.0}]',
        '{"data":[{"stat":"signups","count":2,"t":1772323200}]}',
        '{"format":"ezstat","stats":[\n{"stat":"signups","type":"counter","points":[[1772323200,2]]}]}',
        '[{"name":"signups","type":"counter","timeframe":"1w","points":[{"time":1772323200,"value":2}]}]',
    ],
)  # fmt: skip
def test_the_same_point_is_read_from_every_format(read: Write, content: str) -> None:
    assert points(read(content)) == [("signups", "counter", T, 2.0)]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("stat,value\nx,1\n", None),
        ("x,1772323200,1\n", None),
        ('{"stat":"x","value":1}', "gauge"),
        ('[{"stat":"x","points":[[1772323200,1]]}]', None),
    ],
)
def test_a_type_that_a_file_leaves_open_stays_open(read: Write, content: str, kind: str | None) -> None:
    assert [point[1] for point in points(read(content))] == [kind]


def test_times_are_exact_to_the_microsecond(read: Write) -> None:
    rows = ["-62135596800.000001", "-0.000001", "1772323200.123457", "253402300799.999999", "0001-01-01T00:00:00Z"]
    found = read("stat,t,value\n" + "".join(f"x,{t},1\n" for t in rows))
    assert [point[2] for point in points(found)] == [-1, 1_772_323_200_123_457, -62_135_596_800_000_000]
    assert [item.row for item in found if isinstance(item, Bad)] == [2, 5]
    line = read('{"stat":"x","count":1,"t":-6213559680.000001}')
    assert points(line)[0][2] == -6_213_559_680_000_001


def test_bad_rows_say_which_and_why_and_their_neighbours_are_read(read: Write) -> None:
    items = read(
        "stat,type,t,value\n"
        "good,counter,1,1\n"
        ",counter,1,1\n"
        "x,teapot,1,1\n"
        "x,counter,yesterday,1\n"
        "x,counter,1,one\n"
        "x,counter,1,\n"
        "x,counter,1,1e999\n"
        f"x,counter,{NOW + 90_000},1\n"
        "x,counter\n"
        "good,counter,2,1\n"
    )
    assert [item.row for item in items if isinstance(item, Bad)] == [3, 4, 5, 6, 7, 8, 9, 10]
    assert [point[0] for point in points(items)] == ["good", "good"]
    reasons = [item.reason for item in items if isinstance(item, Bad)]
    assert reasons[1] == "type must be counter or gauge"
    assert reasons[-1] == "this row has 2 cells, the first has 4"


@pytest.mark.parametrize(
    "line",
    ["{", "[]", "17", '{"stat":7,"count":1}', '{"count":1}', '{"stat":"x"}', '{"stat":"x","count":true}',
     '{"stat":"x","count":1,"t":[]}', '{"stat":"x","count":1,"value":2}', '{"stat":"\\ud800","count":1}',
     '{"stat":"x","count":1' + "0" * 400 + "}", '{"stat":"x","count":1,"t":1e400}', "[" * 5000],
)  # fmt: skip
def test_no_line_of_ndjson_ends_the_import(read: Write, line: str) -> None:
    items = read('{"stat":"good","count":1}\n' + line + '\n{"stat":"good","count":1}\n')
    assert [type(item) for item in items] == [Point, Bad, Point]


def test_what_is_said_about_a_stat_comes_along(read: Write) -> None:
    ((about),) = read('{"stat":"x","type":"gauge","unit":"ms","pinned":true,"description":7,"colour":""}')
    assert about == About(1, "x", "gauge", {"unit": "ms", "pinned": True})
    about, point = read('{"stats":[{"stat":"x","type":"gauge","unit":"ms","points":[[1,2]]}]}')
    assert isinstance(about, About)
    assert about.details == {"unit": "ms"}
    assert isinstance(point, Point)


@pytest.mark.parametrize(
    "content",
    [
        '{"stats":[{"stat":"x","type":"gauge","points":[[1,2],[3',
        "[1,2",
        "[{]",
        "[" * 100_000,
        "a,b,c,d,e\n1,2,3,4,5\n",
        "stat,value\n" + "x" * (1 << 20) + ",1\n",
        'stat,value\n"' + "x\n" * 100_000 + '",1\n',
        b'[{"stat":"\xff\xfe","count":1}]',
    ],
)  # fmt: skip
def test_a_file_that_can_not_be_read_says_so(read: Write, content: str | bytes) -> None:
    with pytest.raises(Unreadable):
        read(content)


def test_a_value_without_end_is_not_held_in_memory(read: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "STRING_LIMIT", 1 << 20)
    with pytest.raises(Unreadable, match="longer than"):
        read('[{"stat":"' + "x" * (2 << 20) + '","count":1}]')


def test_rows_with_broken_utf8_are_refused(read: Write) -> None:
    items = read(b"stat,value\nx\xff,1\ny,1\n")
    assert [type(item) for item in items] == [Bad, Point]


def test_a_file_is_cut_the_same_way_every_time(tmp_path: Path) -> None:
    path = tmp_path / "file"
    rows = [{"stat": f"{'long name ' * 20}{i % 3000}", "count": 1, "t": i} for i in range(20_000)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    cuts = [[len(chunk.items) for chunk in chunks(formats.read(path, "ndjson", NOW))] for _ in range(2)]
    assert cuts[0] == cuts[1]
    assert sum(cuts[0]) == 20_000
    assert max(cuts[0]) <= ROWS
    assert len(cuts[0]) > 20_000 / ROWS
