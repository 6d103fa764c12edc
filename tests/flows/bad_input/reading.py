"""Reading stats, describing them, and keys and people: what is asked for can't be understood, or is not there."""

import json
from collections.abc import Iterator
from typing import Any

from tests.flows.bad_input import NAME, Case
from tests.flows.bad_input.points import AUTH
from tests.wire import FORM, JSON, Request, get, post

NOBODY = "00000000-0000-4000-8000-000000000000"


def _asked(path: str, queries: tuple[str, ...], status: int = 400) -> Iterator[Case]:
    for query in queries:
        yield Case(f"GET {path}?{query[:40]}", get(f"{path}?{query}", [AUTH]), status)


RANGES = (
    "range=2h", "range=24H", "range=%FF", "range=24h&from=2026-01-01", "from=zqzqzq", "from=2026-13-01",
    "from=2026-02-30", "from=NaN", "from=1e400", "from=inf", "from=-99999999999999", "from=2026-01-02&to=2026-01-01",
    "to=2026-01-02", "from=2026-01-01&to=zqzqzq", "from=2026-01-01&resolution=2m", "resolution=1e9", "resolution=",
    "from=0001-01-01T00:00:00%2B23:59", "from=9999-12-31&to=9999-12-31", "from=%00",
    "from=%D9%A2%D9%A0%D9%A2%D9%A6-01-01",
    "from=" + "9" * 41, "range=" + "x" * 9,
)  # fmt: skip


def reads() -> Iterator[Case]:
    limits = ("limit=0", "limit=-1", "limit=1001", "limit=zqzqzq", "limit=1.5", "limit=1e1", "limit=")
    yield from _asked("/api/v1/stats", (*limits, "cursor=zqzqzq!", "cursor=%FF%FE", "cursor=/w", "search=" + "x" * 256))
    yield from _asked("/api/v1/stats", ("search=%00", "cursor=AA"))
    yield from _asked("/api/v1/auth/api-keys", (*limits, "cursor=zqzqzq!", "cursor=AA"))
    yield from _asked("/api/v1/audit", (*limits, "cursor=zqzqzq!"))
    yield from _asked("/api/v1/dashboard", ("range=2h", "range=", "range=%00", "limit=0", "limit=1001", "limit=x"))
    for path in ("/api/v1/stats/there", "/v1/stat/there"):
        yield from _asked(path, RANGES)
    names = ("zqnothing", NOBODY, "%20", "%F0%9F%98%80", "a%2Fb", "zq%25", "zq'--", "zq%22", "aggregate")
    for name in names:
        yield Case(f"GET stat {name}", get(f"/api/v1/stats/{name}", [AUTH]), 404)
        yield Case(f"GET v1 stat {name}", get(f"/v1/stat/{name}", [AUTH]), 404)
        yield Case(f"DELETE stat {name}", Request("DELETE", f"/api/v1/stats/{name}", b"", (AUTH,)), 404)
        patch = Request("PATCH", f"/api/v1/stats/{name}", b'{"unit":"ms"}', (AUTH, ("Content-Type", JSON)))
        yield Case(f"PATCH stat {name}", patch, 404)
    for name in ("%FF", "%C0%AF", "%ED%A0%80", "%00", "zq%00"):
        yield Case(f"GET stat {name}", get(f"/api/v1/stats/{name}", [AUTH]))
        yield Case(f"GET v1 stat {name}", get(f"/v1/stat/{name}", [AUTH]))
        yield Case(f"DELETE stat {name}", Request("DELETE", f"/api/v1/stats/{name}", b"", (AUTH,)))
    for name in ("zq%0A", "x" * 300):
        yield Case(f"GET stat {name[:10]}", get(f"/api/v1/stats/{name}", [AUTH]), 404)
        yield Case(f"DELETE stat {name[:10]}", Request("DELETE", f"/api/v1/stats/{name}", b"", (AUTH,)), 404)


NUL = "zq\0zq"
SURROGATE = '{"%s":"zq\\ud800"}'


def _bodies(method: str, path: str, bodies: dict[str, Any], status: int = 400) -> Iterator[Case]:
    for what, body in bodies.items():
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        yield Case(f"{method} {path}: {what}", Request(method, path, raw, (AUTH, ("Content-Type", JSON))), status)


BROKEN = {
    "empty": b"", "no JSON": b"{", "a list": [], "a string": "zqzqzq", "null": None, "NaN": b'{"name":NaN}',
    "deep": b'{"name":' * 20_000, "UTF-16": '{"name":"zq","type":"counter"}'.encode("utf-16"),
    "bad UTF-8": b'{"name":"\xff"}',
}  # fmt: skip


def describing() -> Iterator[Case]:
    yield from _bodies("POST", "/api/v1/stats", BROKEN | {
        "no name": {"type": "counter"}, "no type": {"name": NAME}, "another type": {"name": NAME, "type": "histogram"},
        "name is a number": {"name": 7, "type": "counter"}, "name is null": {"name": None, "type": "gauge"},
        "empty name": {"name": "", "type": "counter"}, "name of spaces": {"name": "  ", "type": "counter"},
        "long name": {"name": "x" * 256, "type": "counter"}, "NUL": {"name": NUL, "type": "counter"},
        "line break": {"name": f"{NAME}\ny", "type": "counter"},
        "surrogate": b'{"name":"zq\\ud800","type":"counter"}',
    })  # fmt: skip
    yield from _bodies("PATCH", "/api/v1/stats/there", BROKEN | {
        "unit too long": {"unit": "x" * 33}, "unit is a number": {"unit": 7}, "NUL in unit": {"unit": NUL},
        "NUL in description": {"description": NUL}, "long description": {"description": "x" * 2001},
        "colour": {"colour": "red; background: url(//evil)"}, "colour of 3": {"colour": "#fff"},
        "pinned": {"pinned": "perhaps"}, "surrogate": (SURROGATE % "unit").encode(),
    })  # fmt: skip
    form = Request("POST", "/api/v1/stats", f"name={NAME}&type=counter".encode(), (AUTH, ("Content-Type", FORM)))
    yield Case("POST /api/v1/stats: a form", form)


def keys_and_people() -> Iterator[Case]:
    yield from _bodies("POST", "/api/v1/auth/api-keys", BROKEN | {
        "mode": {"name": "zq", "mode": "both"}, "style": {"name": "zq", "style": "pk"}, "name is a number": {"name": 7},
        "empty name": {"name": " "}, "long name": {"name": "x" * 500}, "NUL": {"name": NUL},
        "scope": {"scopes": ["root"]},
        "scopes is a string": {"scopes": "stats:read"}, "no scopes": {"scopes": []},
        "many scopes": {"scopes": ["account"] * 11},
        "expires in the past": {"expires_at": "2020-01-01T00:00:00Z"}, "expires never": {"expires_at": "never"},
        "expires far": {"expires_at": "99999-01-01T00:00:00Z"}, "expires NaN": {"expires_at": "NaN"},
        "surrogate": (SURROGATE % "name").encode(),
    })  # fmt: skip
    for name in (NOBODY, "zqzq", "%00", "%FF", "1", "..%2F..", "x" * 300):
        path = f"/api/v1/auth/api-keys/{name}"
        status = 404 if name == NOBODY else 400
        yield Case(f"DELETE key {name[:12]}", Request("DELETE", path, b"", (AUTH,)), status)
    yield from _bodies("POST", "/api/v1/auth/read-keys", {"NUL": {"name": NUL}, "long": {"name": "x" * 500}})
    yield from _bodies("POST", "/api/v1/auth/ez-keys", {
        "short": {"key": "zqzq"}, "none": {}, "NUL": {"key": "zqzqzqzq\0"}, "a number": {"key": 12345678},
        "long": {"key": "z" * 1001}, "surrogate": b'{"key":"zqzqzqzq\\ud800"}',
    })  # fmt: skip
    word = "zq-secret-zq-secret"
    people: dict[str, Any] = {
        "nothing": {}, "no password": {"email": "zq@example.org"}, "no e-mail": {"password": word},
        "e-mail is a number": {"email": 7, "password": word}, "password is a list": {"email": "zq@example.org",
        "password": [word]},
        "password is null": {"email": "zq@example.org", "password": None},
        "very long password": {"email": "zq@example.org", "password": "z" * 5000},
        "very long e-mail": {"email": "z" * 321, "password": word},
        "surrogate in password": b'{"email":"zq@example.org","password":"zq-secret-zq\\ud800"}',
        "surrogate in e-mail": b'{"email":"zq\\ud800@example.org","password":"zq-secret-zq-secret"}',
    }  # fmt: skip
    refused: dict[str, Any] = {
        "NUL in e-mail": {"email": "zq\0@example.org", "password": word}, "no at": {"email": "zq", "password": word},
        "line break in e-mail": {"email": "zq@example.org\nBcc: x@y.z", "password": word},
    }  # fmt: skip
    yield from _bodies("POST", "/api/v1/auth/signup", BROKEN | people | refused | {
        "short password": {"email": "zq@example.org", "password": "zq"},
        "NUL in password": {"email": "zq@example.org", "password": "zqzqzqzqzq\0zq"},
        "NUL in organisation": {"email": "zq@example.org", "password": word, "organisation": NUL},
        "time zone": {"email": "zq@example.org", "password": word, "timezone": "../../etc/passwd"},
    })  # fmt: skip
    yield from _bodies("POST", "/api/v1/auth/login", BROKEN | people)
    nul = {"NUL in e-mail": refused.pop("NUL in e-mail"), "NUL in password": {"email": "zq@y.z", "password": "zq\0zq"}}
    yield from _bodies("POST", "/api/v1/auth/login", nul)
    nobody = {"nobody": {"email": "zq@example.org", "password": word}}
    yield from _bodies("POST", "/api/v1/auth/login", refused | nobody, 401)
    yield from _bodies("POST", "/api/v1/auth/password/reset", {
        "NUL": {"token": NUL, "password": word},
        "no token": {"password": word}, "long": {"token": "z" * 201, "password": word},
    })  # fmt: skip

    unknown = {"unknown token": {"token": "zqzqzq", "password": word}}
    yield from _bodies("POST", "/api/v1/auth/password/reset", unknown, 403)


def files() -> Iterator[Case]:
    """Export and import."""
    spans = ("from=zqzqzq", "to=zqzqzq", "from=NaN", "from=%00", "from=2026-13-01")
    yield from _asked("/api/v1/export", ("format=xml", "format=JSON", "format=", "stat=%00", *spans))
    yield from _asked("/api/v1/export", ("stat=zqnothing", f"stat={NOBODY}"), 404)
    yield from _asked("/api/v1/import", ("limit=0", "limit=zq"))
    for job in (NOBODY, "zqzq", "%00", "%FF", "x" * 300):
        for path in (f"/api/v1/import/{job}", f"/api/v1/import/{job}/events"):
            yield Case(f"GET {path[:30]}{path[-6:]}", get(path, [AUTH]), 404)
        yield Case(f"DELETE import {job[:12]}", Request("DELETE", f"/api/v1/import/{job}", b"", (AUTH,)), 404)
    files = {"nothing": b"", "format": b'{"stats":[]}'}
    for what, body in files.items():
        target = "/api/v1/import?format=zqzq" if what == "format" else "/api/v1/import"
        yield Case(f"import: {what}", post(target, body, "application/octet-stream", [AUTH]))
    yield Case("import: br", post("/api/v1/import", b"x", JSON, [AUTH, ("Content-Encoding", "br")]), 415)
    yield Case("import: no gzip", post("/api/v1/import", b"x", JSON, [AUTH, ("Content-Encoding", "gzip")]))


def old_tools() -> Iterator[Case]:
    """StatHat's export API, whose dialect is a `msg`; and what is claimed."""
    for what in (
        "t=",
        "t=1x3h",
        "t=w",
        "t=99999999999w1h",
        "t=1h0h",
        "t=-1w3h",
        "start=zq",
        "start=-1",
        "start=NaN",
        "summary=zq",
    ):
        yield Case(f"x data {what}", get(f"/x/KEY/data/there?{what}"))
    for path in ("data/zqnothing", f"data/{NOBODY}", "stat?name=zqnothing"):
        yield Case(f"x {path[:20]}", get(f"/x/KEY/{path}"), 404)
    yield Case("x data of bad UTF-8", get("/x/KEY/data/%FF"))
    yield Case("x data of too many", get("/x/KEY/data/" + "/".join(["a"] * 600)))
    yield Case("x stat without a name", get("/x/KEY/stat"))
    yield Case("x offset", get("/x/KEY/statlist?offset=-1"))
    yield Case("x offset is a word", get("/x/KEY/statlist?offset=zq"))
    yield Case("x nothing there", get("/x/KEY/zqzq"), 404)
    yield Case("x wrong method", Request("PUT", "/x/KEY/statlist"), 405)
    yield Case("x DELETE", Request("DELETE", f"/x/KEY/stats/{NOBODY}"), 404)
    for token in ("zqzq", "KEYx", "%00", "%FF", "ss_live_" + "x" * 43):
        for path in ("statlist", "alerts", "data/there", "stat?name=there"):
            status = 400 if token in ("%FF", "%00") else 401
            yield Case(f"x {token[:8]} {path[:8]}", get(f"/x/{token}/{path}"), status)
    for name in ("zqzq", "..", "a%00b", "%FF", "a" * 65):
        bad = name in ("a%00b", "%FF")
        yield Case(f"mvp {name[:5]}", get(f"/api/v1/mvps/{name}/stats", [AUTH]), 400 if bad else 404)
    claims: dict[str, Any] = {
        "none": {},
        "short": {"mvp": "zqmvp", "claim": "zq"},
        "NUL": {"mvp": "zq", "claim": "12345678\0"},
    }
    yield from _bodies("POST", "/api/v1/mvps/claim", BROKEN | claims)


def idempotency() -> Iterator[Case]:
    for path in ("/ez", "/v1/stat", "/api/v1/stats/zqstat/count", "/api/v1/stats"):
        for what, key in {"empty": "", "256 characters": "i" * 256}.items():
            request = post(path, f'{{"ezkey":"KEY","stat":"{NAME}","count":1}}', JSON, [AUTH, ("Idempotency-Key", key)])
            yield Case(f"{path}: Idempotency-Key is {what}", request)


CASES = [*reads(), *describing(), *keys_and_people(), *files(), *old_tools(), *idempotency()]
