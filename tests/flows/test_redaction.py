"""Fault 33: a key that was shown to us anywhere, on whatever route and however wrongly, is in no log and no file."""

import json
import secrets
from pathlib import Path

import httpx
import pytest

from tests.eventually import until
from tests.running import Ezstat, Person
from tests.wire import FORM, JSON, Request, exchange, get, post

CHUNK = 1 << 20


@pytest.fixture(scope="module")
def person(ezstat: Ezstat) -> Person:
    return ezstat.sign_up()


def shown(path: str) -> list[Request]:
    """The ways to show KEY to a path, right and wrong."""
    bearer = ("Authorization", "Bearer KEY")
    row = '{"stat":"canary","count":1}'
    return [
        get(f"{path}?ezkey=KEY"), get(f"{path}?ukey=KEY&key=canary"), get(f"{path}?api_key=KEY"),
        get(f"{path}?token=KEY"),
        get(f"{path}?next=%3Ftoken%3DKEY"), get(f"{path}/KEY"), get(path, [bearer]),
        get(path, [("Authorization", "KEY")]),
        get(path, [("Cookie", "ezstat_session=KEY")]), get(path, [("Referer", "http://x/?ezkey=KEY")]),
        get(path, [("User-Agent", "KEY")]), get(path, [("X-Request-Id", "KEY")]),
        get(path, [("X-Forwarded-For", "KEY")]),
        get(path, [("traceparent", "KEY")]), get(path, [bearer, ("Idempotency-Key", "KEY")]),
        post(path, "ezkey=KEY&stat=canary&count=1", FORM), post(path, "ukey=KEY&key=canary&value=x", FORM),
        post(path, '{"ezkey":"KEY","stat":"canary","count":"x"}', JSON), post(path, '{"ezkey":"KEY"', JSON),
        post(path, row, JSON, [bearer]), post(path, "KEY", "text/csv", [bearer]), post(path, "{", JSON, [bearer]),
        post(path, "x", "application/xml", [bearer]), post(path, '{"email":"KEY","password":"KEY"}', JSON),
        post(path, '{"token":"KEY","password":"KEY-and-more"}', JSON),
        post(path, row, JSON, [bearer, ("Expect", "KEY")]),
        Request("PUT", path, b"{}", (bearer,)), Request("DELETE", f"{path}/KEY", b"", (bearer,)),
        Request("PATCH", path, b'{"name":"KEY"', (bearer, ("Content-Type", JSON))),
        post(path, b"\x1f\x8bKEY", JSON, [bearer, ("Content-Encoding", "gzip")]),
    ]  # fmt: skip


BROKEN = (
    b"POST /ez?ezkey=KEY HTTP/9.9\r\n\r\n",
    b"GET /c?ukey=KEY HTTP/1.1\r\nAuthorization: Bearer KEY\r\nBad Header\r\n\r\n",
    b"KEY\r\n\r\n", b"POST /ez HTTP/1.1\r\nContent-Length: KEY\r\n\r\n",
    b"GET /x/KEY/statlist HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /ez HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\nezkey=KEY",
)  # fmt: skip


def files_with(folder: Path, needles: list[bytes], pattern: str = "*") -> list[str]:
    """Files under a folder that hold one of these."""
    found = []
    for path in folder.rglob(pattern):
        if path.is_file():
            tail = b""
            with path.open("rb") as file:
                while chunk := file.read(CHUNK):
                    if any(needle in tail + chunk for needle in needles):
                        found.append(str(path.relative_to(folder)))
                        break
                    tail = chunk[-100:]
    return found


def test_no_log_and_no_file_holds_a_key(ezstat: Ezstat, person: Person) -> None:
    real = person.key()
    made_up = "ss_live_" + secrets.token_hex(22)[:43]
    document = ezstat.client().get("/openapi.json").json()
    paths = {path.replace("{token}", "KEY").replace("{", "").replace("}", "") for path in document["paths"]}
    # Not those that would end the person or send mail for ever, nor a stream without end.
    paths -= {"/api/v1/live", "/api/v1/account"}
    for canary in (real, made_up):
        for path in sorted({*paths, "/", "/nope", "/v1/nope"}):
            for request in shown(path):
                exchange(ezstat.port, request.wire(canary), half_close=True)
        for raw in BROKEN:
            exchange(ezstat.port, raw.replace(b"KEY", canary.encode()), half_close=True)
    until(lambda: person.client.get("/api/v1/stats/canary").status_code == 200)
    needles = [real.encode(), made_up.encode()]
    logs = ezstat.log.read_bytes()
    assert b"/ez" in logs or b"GET" in logs or b"ready" in logs, "nothing is logged at all"
    assert not [line for line in logs.splitlines() if any(needle in line for needle in needles)]
    assert files_with(ezstat.folder, needles, "*.log") == []
    for path in ("/metrics", "/api/v1/health", "/livez", "/readyz"):
        answer = httpx.get(f"{ezstat.url}{path}")
        assert not any(needle in answer.content for needle in needles), path


def test_secrets_that_we_made_are_stored_as_digests_only(ezstat: Ezstat, person: Person) -> None:
    """Neither in the databases nor in the streams nor in Redis' files."""
    password = f"correct horse {secrets.token_hex(8)}"
    email = f"{secrets.token_hex(6)}@example.com"
    with ezstat.client() as client:
        client.post("/api/v1/auth/signup", json={"email": email, "password": password}).raise_for_status()
        session = client.cookies["ezstat_session"]
        made = [
            client.post(path, json=body).json()["key"]
            for path, body in (
                ("/api/v1/auth/api-keys", {"name": "x"}), ("/api/v1/auth/api-keys", {"name": "x", "style": "sk"}),
                ("/api/v1/auth/read-keys", {"name": "x"}), ("/api/v1/auth/tokens", {"name": "x"}),
            )
        ]  # fmt: skip
        adopted = f"zq-adopted-{secrets.token_hex(8)}"
        client.post("/api/v1/auth/ez-keys", json={"key": adopted}).raise_for_status()
        sent = {"ezkey": adopted, "stat": "by the adopted key"}
        assert client.post("/ez", data=sent).is_success
        repeated = client.post("/api/v1/auth/api-keys", json={"name": "y"}, headers={"Idempotency-Key": "once"})
        made.append(repeated.json()["key"])
    needles = [text.encode() for text in (password, session, adopted, *made)]
    assert all(len(needle) > 20 for needle in needles), json.dumps([len(needle) for needle in needles])
    with ezstat.client() as client:
        until(lambda: client.post("/ez", data=sent).is_success)
    assert files_with(ezstat.folder, needles) == []
    assert not any(needle in ezstat.log.read_bytes() for needle in needles)
