"""Hypothesis strategies for what a sender may write on a connection: requests good and bad, and how they are cut."""

import gzip
import json
from dataclasses import dataclass
from urllib.parse import quote_plus

from hypothesis import strategies as st

from tests.wire import FORM, JSON

FORMS = ("/ez", "/c", "/v")
ROWS = ("/v1/stat", "/v1/stat/count", "/v1/stat/value", "/v1/stats", "/api/v1/batch")
NUMBERS = st.sampled_from(["1", "2.5", "0", "-3", "1e+06", "1e3", "", "1,5", "NaN", "1e999", "x", " 7 ", "٣"])
TIMES = st.sampled_from(["", "1711929600", "1711929600.5", "99999999999", "never", "-5"])
NAMES = st.sampled_from(
    ["plain", "with space", "größe", "a/b", "100%", "x~a,b", "x~", " trimmed ", "", "new\nline", "q" * 256, "emoji 😀"]
)
KEYS = st.sampled_from(["KEY"] * 8 + ["", "ss_live_nobody", "KEYx"])


@dataclass(frozen=True)
class Sent:
    """A request on the wire, and whether its answer has no body because it is to a HEAD."""

    data: bytes
    to_head: bool
    ends: bool


@dataclass(frozen=True)
class Stream:
    """Requests on one connection. `together`: written at once; `cuts`: where writes are divided."""

    requests: tuple[Sent, ...]
    together: bool
    cuts: tuple[int, ...]


@st.composite
def forms(draw: st.DrawFn, path: str) -> str:
    stat, key = ("stat", draw(st.sampled_from(["ezkey", "email"]))) if path == "/ez" else ("key", "ukey")
    kind = "value" if path == "/v" else draw(st.sampled_from(["count", "count", "value"])) if path == "/ez" else "count"
    name = f"{draw(NAMES)}"
    fields = [(key, draw(KEYS)), (stat, f"{kind} {name}" if name else ""), (kind, draw(NUMBERS))]
    if draw(st.booleans()):
        fields.append(("t", draw(TIMES)))
    if path == "/ez" and draw(st.integers(0, 5)) == 0:
        fields.append(("value" if kind == "count" else "count", draw(NUMBERS)))
    if draw(st.integers(0, 5)) == 0:
        fields.append(("odd", "field"))
    fields = draw(st.permutations(fields))
    escape = quote_plus if draw(st.integers(0, 4)) else (lambda text: text)
    return "&".join(f"{field}={escape(value)}" for field, value in fields)


@st.composite
def rows(draw: st.DrawFn, kind: str = "") -> dict[str, object]:
    kind = kind or draw(st.sampled_from(["count", "value"]))
    number = draw(st.sampled_from([1, 2.5, 0, -3, "4", "1,5", None, True, [], 10**20]))
    row: dict[str, object] = {"stat": f"{kind} {draw(NAMES)}", kind: number}
    if draw(st.integers(0, 3)) == 0:
        row["t"] = draw(st.sampled_from([None, 1711929600, "1711929600", 1e300, "never"]))
    if draw(st.integers(0, 9)) == 0:
        del row["stat"]
    return row


@st.composite
def documents(draw: st.DrawFn, path: str) -> str:
    """A JSON body."""
    if path == "/ez":
        key = {"ezkey": draw(KEYS)}
        many = draw(st.booleans())
        return json.dumps(key | ({"data": draw(st.lists(rows(), max_size=3))} if many else draw(rows())))
    if path == "/v1/stats":
        return json.dumps({"stats": draw(st.lists(rows(), max_size=3))})
    if path == "/api/v1/batch":
        listed = draw(st.lists(rows(), max_size=3))
        return json.dumps(listed) if draw(st.booleans()) else "\n".join(map(json.dumps, listed))
    kind = {"/v1/stat/count": "count", "/v1/stat/value": "value", "/c": "count", "/v": "value"}.get(path, "")
    row = draw(rows(kind))
    return json.dumps(row | ({"ukey": draw(KEYS), "key": row.get("stat")} if path in FORMS else {}))


BROKEN = st.sampled_from(["", "{", "[]", "null", "[[[", '{"a":1}', "\x00\x01", "stat", "=", "&&&", "%", "{}"])


def _chunked(body: bytes, size: int) -> bytes:
    parts = [body[i : i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


@st.composite
def requests(draw: st.DrawFn) -> Sent:
    path = draw(st.sampled_from([*FORMS, *FORMS, *ROWS, "/v1/nope", "/ez/", "/api/v1/nope"]))
    method = draw(st.sampled_from(["POST"] * 6 + ["GET"] * 2 + ["HEAD", "PUT", "DELETE"]))
    if path in ROWS and method in ("GET", "HEAD"):
        method = "PUT"  # some of these would be reads, whose ids differ between installations
    reads_forms = path in FORMS or path == "/v1/stat"
    style = draw(
        st.sampled_from(["form", "form", "json", "broken"] if reads_forms else ["json", "json", "json", "broken"])
    )
    text = draw({"form": forms(path), "json": documents(path), "broken": BROKEN}[style])
    types = {"form": FORM, "json": JSON, "broken": JSON}
    lines: list[str] = []
    target = path
    if method == "GET" and style == "form":
        target, text = f"{path}?{quote_plus(text, safe='=&%+')}", ""
    elif draw(st.integers(0, 7)) == 0:
        target = f"{path}?{draw(st.sampled_from(['a=b', 'stat=count%20by%20query', '', 'ezkey=KEY', '&&', '%zz']))}"
    wanted = draw(
        st.sampled_from([types[style]] * 6 + ["text/plain", "", "application/xml", f"{types[style]};charset=utf-8"])
    )
    if wanted:
        lines.append(f"{draw(st.sampled_from(['Content-Type', 'content-type', 'CONTENT-TYPE']))}: {wanted}")
    if path in ROWS or draw(st.integers(0, 9)) == 0:
        lines += draw(st.sampled_from(
            [["Authorization: Bearer KEY"]] * 8
            + [[], ["authorization:bearer KEY"], ["Authorization: Bearer nobody"], ["Authorization: Basic KEY"]]
        ))  # fmt: skip
    lines += draw(st.sampled_from(
        [[]] * 8
        + [["X-Odd:"], ["X-Odd:   spaces   "], ["Accept: image/webp"], ["X-A: 1", "X-A: 2"], ["Cookie: a=b"],
           ["Content-Encoding: identity"], ["Origin: https://elsewhere.example"]]
    ))  # fmt: skip
    body = text.encode()
    if draw(st.integers(0, 9)) == 0 and body:
        lines.append("Content-Encoding: gzip")
        body = gzip.compress(body.replace(b"KEY", b"KEY"), mtime=0)
    version = draw(st.sampled_from(["1.1"] * 6 + ["1.0"]))
    connection = draw(st.sampled_from(["", "", "", "keep-alive", "close", "Keep-Alive, X"]))
    if connection:
        lines.append(f"Connection: {connection}")
    if version == "1.1" and body and draw(st.integers(0, 3)) == 0:
        lines.append("Transfer-Encoding: chunked")
        body = b"CHUNKED" + b"%d:" % draw(st.integers(1, 60)) + body
    elif body or method != "GET":
        lines.append("Content-Length: LENGTH")
    if version == "1.1" and body and draw(st.integers(0, 5)) == 0:
        lines.append("Expect: 100-continue")
    head = f"{method} {target} HTTP/{version}\r\nHost: x\r\n" + "".join(f"{line}\r\n" for line in lines)
    ends = version == "1.0" or connection == "close"
    return Sent(head.encode() + b"\r\n" + body, method == "HEAD", ends)


def addressed(sent: Sent, key: str) -> bytes:
    """The bytes for the owner of a key."""
    head, _, body = sent.data.partition(b"\r\n\r\n")
    size = 0
    if body.startswith(b"CHUNKED"):
        digits, _, body = body.removeprefix(b"CHUNKED").partition(b":")
        size = int(digits)
    if body.startswith(b"\x1f\x8b"):
        body = gzip.compress(gzip.decompress(body).replace(b"KEY", key.encode()), mtime=0)
    else:
        body = body.replace(b"KEY", key.encode())
    head = head.replace(b"LENGTH", b"%d" % len(body)).replace(b"KEY", key.encode())
    return head + b"\r\n\r\n" + (_chunked(body, size) if size else body)


def _until_the_end(sent: list[Sent]) -> tuple[Sent, ...]:
    """What follows the last request that is answered would make the connection end by a reset, at no certain time."""
    last = next((i for i, request in enumerate(sent) if request.ends), len(sent))
    return tuple(sent[: last + 1])


def streams() -> st.SearchStrategy[Stream]:
    return st.builds(
        Stream,
        st.lists(requests(), min_size=1, max_size=4).map(_until_the_end),
        st.booleans(),
        st.lists(st.integers(1, 400), max_size=3).map(lambda cuts: tuple(sorted(cuts))),
    )
