"""Bodies that are broken, too large, of the wrong type, or not what the path reads."""

import gzip
import zlib
from collections.abc import Iterator

from tests.flows.bad_input import NAME, Case
from tests.flows.bad_input.points import AUTH, NDJSON
from tests.wire import FORM, JSON, Request, get, post

ROW = f'{{"stat":"{NAME}","count":1}}'
READS_JSON = ("/ez", "/v1/stat", "/v1/stat/count", "/v1/stat/value", "/v1/stats", "/api/v1/batch")
REST = "/api/v1/stats/zqstat/count"
WRITES = (*READS_JSON, "/c", "/v", REST)
METHODS = {
    "/ez": ("HEAD", "PUT", "DELETE", "PATCH"), "/c": ("HEAD", "PUT", "DELETE"), "/v": ("HEAD", "PUT", "DELETE"),
    "/v1/stat": ("GET", "PUT", "DELETE"), "/v1/stats": ("PUT", "DELETE"), "/api/v1/batch": ("GET", "PUT"),
    REST: ("GET", "PUT", "DELETE"), "/api/v1/stats": ("PUT", "DELETE", "PATCH"),
    "/api/v1/stats/zqstat": ("PUT", "POST"), "/api/v1/dashboard": ("POST", "DELETE"),
    "/api/v1/auth/api-keys": ("PUT", "DELETE"), "/api/v1/auth/login": ("GET", "PUT"),
}  # fmt: skip

SHAPES = {
    "empty": b"", "white space": b" \n\t ", "an open brace": b"{", "an open string": b'{"stat":"zqstat',
    "null": b"null",
    "a number": b"17", "a string": b'"zqstat"', "trailing comma": b'{"stat":"zqstat","count":1,}',
    "single quotes": b"{'stat':'zqstat','count':1}", "no quotes": b"{stat:zqstat,count:1}",
    "garbage": b"\x00\x01\x02zqstat",
    "trailing garbage": b'{"stat":"zqstat","count":1} x', "comment": b'{"stat":"zqstat","count":1 /* x */}',
    "two objects": b'{"stat":"zqstat","count":1}{"stat":"zqstat","count":1}', "empty object": b"{}",
    "deep lists": b"[" * 100_000, "deep objects": b'{"stat":' * 50_000,
    "deep closed lists": b"[" * 9_000 + b"]" * 9_000,
    "UTF-16": '{"stat":"zqstat","count":1}'.encode("utf-16"), "a list of numbers": b"[1,2,3]",
    "a list of lists": b"[[]]", "a list of null": b"[null]",
}  # fmt: skip


def json_shapes() -> Iterator[Case]:
    for path in (*READS_JSON, REST):
        for what, body in SHAPES.items():
            yield Case(f"{path}: JSON is {what}", post(path, body, JSON, [AUTH]))
    for path, field in (("/ez", "data"), ("/v1/stats", "stats")):
        for what, text in {
            "a string": '"x"',
            "an object": "{}",
            "a number": "7",
            "empty": "[]",
            "true": "true",
        }.items():
            yield Case(f"{path}: {field} is {what}", post(path, f'{{"ezkey":"KEY","{field}":{text}}}', JSON, [AUTH]))
    yield Case("batch: empty array", post("/api/v1/batch", "[]", JSON, [AUTH]))
    yield Case("batch: 10,001 rows", post("/api/v1/batch", "[" + ",".join([ROW] * 10_001) + "]", JSON, [AUTH]))
    yield Case("batch: 10,001 lines", post("/api/v1/batch", f"{ROW}\n" * 10_001, NDJSON, [AUTH]))
    yield Case("batch: a bad last line", post("/api/v1/batch", f"{ROW}\n{ROW}\n{{", NDJSON, [AUTH]))
    yield Case("/ez: 10,001 rows", post("/ez", '{"ezkey":"KEY","data":[' + ",".join([ROW] * 10_001) + "]}", JSON))
    yield Case("/ez: key is a number", post("/ez", f'{{"ezkey":17,"stat":"{NAME}"}}', JSON))
    for path in ("/v1/stat", "/v1/stat/count"):
        yield Case(f"{path}: no stat", post(path, '{"count":1}', JSON, [AUTH]))
    yield Case("/v1/stat/value without value", post("/v1/stat/value", ROW, JSON, [AUTH]))
    yield Case("/v1/stat: both", post("/v1/stat", f'{{"stat":"{NAME}","count":1,"value":2}}', JSON, [AUTH]))


def forms() -> Iterator[Case]:
    yield Case("/ez: no stat", post("/ez", "ezkey=KEY&count=1"))
    yield Case("/ez: empty stat", post("/ez", "ezkey=KEY&stat=&count=1"))
    yield Case("/ez: both", post("/ez", f"ezkey=KEY&stat={NAME}&count=1&value=2"))
    yield Case("/ez: no key", post("/ez", f"stat={NAME}&count=1"), 401)
    yield Case("/ez: empty key", post("/ez", f"ezkey=&stat={NAME}&count=1"), 401)
    yield Case("/ez: empty body", post("/ez", ""), 401)
    yield Case("/ez: nothing at all", get("/ez"), 401)
    yield Case("/c: no name", post("/c", "ukey=KEY&count=1"))
    yield Case("/c pixel: no name", get("/c?ukey=KEY"))
    yield Case("/c: no key", post("/c", f"key={NAME}"), 401)
    yield Case("/v: no value", post("/v", f"ukey=KEY&key={NAME}"))
    yield Case("/v: empty value", post("/v", f"ukey=KEY&key={NAME}&value="))
    yield Case("/v: only a count", post("/v", f"ukey=KEY&key={NAME}&count=1"))
    yield Case("/v query: no value", get(f"/v?ukey=KEY&key={NAME}"))
    yield Case("/v1/stat form: bad UTF-8", post("/v1/stat", b"stat=zqstat%FF&count=1", FORM, [AUTH]))
    yield Case("/v1/stat form: no stat", post("/v1/stat", b"count=1", FORM, [AUTH]))
    yield Case("/v1/stat form: decimal comma", post("/v1/stat", b"stat=zqstat&count=1%2C5", FORM, [AUTH]))
    yield Case("/v1/stats form", post("/v1/stats", b"stat=zqstat&count=1", FORM, [AUTH]))
    parts = '--B\r\nContent-Disposition: form-data; name="ezkey"\r\n\r\nKEY\r\n'
    named = 'Content-Disposition: form-data; name="stat"'
    typed, end = "multipart/form-data; boundary=B", "--B--\r\n"
    multipart = {
        "without boundary": ("multipart/form-data", parts + end),
        "with another boundary": ("multipart/form-data; boundary=C", parts + end),
        "cut off": (typed, parts + f"--B\r\n{named}\r\n\r\n{NAME}"),
        "with a file": (typed, parts + f'--B\r\n{named}; filename="x"\r\n\r\n{NAME}\r\n{end}'),
        "with a part without name": (typed, parts + f"--B\r\n\r\n{NAME}\r\n{end}"),
        "with 101 parts": (typed, parts * 101 + end),
        "of a long boundary": (f"multipart/form-data; boundary={'B' * 3000}", parts),
    }
    for what, (content_type, body) in multipart.items():
        yield Case(f"/ez: multipart {what}", post("/ez", body, content_type))
    latin = parts.encode() + f"--B\r\n{named}\r\n\r\n{NAME}".encode() + b"\xff\r\n--B--\r\n"
    yield Case("/ez: multipart of bad UTF-8", post("/ez", latin, "multipart/form-data; boundary=B"))


def types_and_sizes() -> Iterator[Case]:
    for path in (*READS_JSON, "/c", "/v"):
        for content_type in ("application/xml", "text/html", "image/png", "application/msgpack", "x" * 200):
            status = 415
            yield Case(f"{path}: body of {content_type[:20]}", post(path, f"<{NAME}/>", content_type, [AUTH]), status)
    for path in WRITES:
        for coding in ("br", "deflate", "gzip, gzip", "zq-unknown"):
            request = post(path, ROW, JSON, [AUTH, ("Content-Encoding", coding)])
            yield Case(f"{path}: encoding {coding}", request, 415)
        packed = {
            "no gzip": (ROW.encode(), 400), "cut gzip": (gzip.compress(ROW.encode())[:-6], 400),
            "zlib": (zlib.compress(ROW.encode()), 400),
            "wrong checksum": (gzip.compress(ROW.encode())[:-8] + bytes(8), 400),
            "many members": (gzip.compress(b" ") * 40 + gzip.compress(ROW.encode()), 400),
            "a bomb": (gzip.compress(bytes(40 << 20), 9), 413),
        }  # fmt: skip
        for what, (body, status) in packed.items():
            request = post(path, body, JSON, [AUTH, ("Content-Encoding", "gzip")])
            yield Case(f"{path}: {what}", request, status)
        if path != "/api/v1/batch":
            big = ROW.encode() + b" " * (1 << 20)
            yield Case(f"{path}: a body of more than 1 MiB", post(path, big, JSON, [AUTH]), 413)
            announced = post(path, "", JSON, [AUTH, ("Content-Length", "20000000")])
            yield Case(f"{path}: 20 MB announced", announced, 413)
            chunks = b"".join(b"10000\r\n" + b"x" * 65536 + b"\r\n" for _ in range(17))
            chunked = post(path, chunks, JSON, [AUTH, ("Transfer-Encoding", "chunked")])
            yield Case(f"{path}: chunks of more than 1 MiB", chunked, 413)


def methods() -> Iterator[Case]:
    for path, refused in METHODS.items():
        for method in refused:
            yield Case(f"{method} {path}", Request(method, path, b"", (AUTH,)), 405)
    for path in (
        "/ez/",
        "/EZ",
        "//ez",
        "/ez/more",
        "/v1/nope",
        "/v1/",
        "/api/v1/nope",
        "/api/nope",
        "/nope",
        "/api/v1/",
    ):
        yield Case(f"nothing at {path}", post(path, f"ezkey=KEY&stat={NAME}"), 404)
    for path in ("/../ez", "/%65z", "/ez%00", "/ez;x", "/.//ez"):
        yield Case(f"no way round: {path}", post(path, f"ezkey=KEY&stat={NAME}"), 404)


CASES = [*json_shapes(), *forms(), *types_and_sizes(), *methods()]
