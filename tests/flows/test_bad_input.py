"""P7: bad input is a 4xx with a JSON error in the dialect of its path; nothing of it is kept, and nothing repeated."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.eventually import until
from tests.flows.bad_input import NAME, Case, bodies, callers, heads, points, reading
from tests.running import Ezstat, Person
from tests.wire import Connection, Reply, exchange

CASES = [*points.CASES, *bodies.CASES, *callers.CASES, *reading.CASES, *heads.CASES]
SENDING = ("/ez", "/c", "/v", "/v1/stat", "/v1/stat/count", "/v1/stat/value", "/v1/stats", "/api/v1/batch")


def by_name(cases: list[Case]) -> dict[str, Case]:
    named = {case.name: case for case in cases}
    assert len(named) == len(cases), "two cases of one name"
    return named


TABLE = by_name(CASES)
ORDINARY = {
    name: case for name, case in TABLE.items() if case.answering in SENDING and not isinstance(case.request, bytes)
}


@pytest.fixture(scope="module", autouse=True)
def log_before(ezstat: Ezstat) -> int:
    """How long the log was when these tests began."""
    return ezstat.log.stat().st_size


@pytest.fixture(scope="module")
def person(ezstat: Ezstat) -> Person:
    return ezstat.sign_up()


@pytest.fixture(scope="module")
def key(person: Person) -> str:
    """The key of an account that has one stat with one point."""
    key = person.key()
    assert person.ezstat.client().post("/ez", data={"ezkey": key, "stat": "there"}).is_success
    until(lambda: n_of(person) == 1, within=10)
    return key


def n_of(person: Person) -> int:
    answer = person.client.get("/api/v1/stats/there", params={"range": "1h"})
    return answer.json()["summary"]["n"] if answer.status_code == 200 else 0


def check_dialect(path: str, status: int, reply: Reply) -> None:
    """The table "Error dialects" of the wire contract."""
    assert reply.headers["content-type"] == "application/json"
    said = reply.json()
    if path in ("/ez", "/c", "/v"):
        assert said.keys() == {"status", "msg"}
        assert said["status"] == status
        message = said["msg"]
    elif path.startswith(("/v1/", "/x/")):
        assert said.keys() == {"msg"}
        message = said["msg"]
    else:
        assert said.keys() == {"error"}
        assert {"code", "message"} <= said["error"].keys() <= {"code", "message", "param"}
        message = said["error"]["message"]
    assert isinstance(message, str)
    assert message
    assert "Traceback" not in message


def check(case: Case, reply: Reply | None, key: str) -> None:
    assert reply is not None, "no answer"
    assert reply.status == case.status, (reply.status, reply.body[:300])
    assert len(reply.headers["x-request-id"]) == 36
    if case.method == "HEAD":
        return
    check_dialect(case.answering, case.status, reply)
    everything = reply.body + json.dumps(reply.headers).encode()
    for secret in (key, key[-20:], NAME, "zqzq", "zq-secret", *case.secret):
        assert secret.encode() not in everything, f"{secret!r} came back"
    if case.status == 401:
        assert reply.headers["www-authenticate"].startswith("Bearer")
    if case.status == 405:
        assert reply.headers["allow"]


@dataclass(frozen=True)
class Slow:
    """A client that sends `parts` and then nothing more for `pause` seconds; what it is told, or None for nothing."""

    parts: tuple[bytes, ...]
    path: str
    status: int | None
    within: float


HEAD_DEADLINE, BODY_DEADLINE, LATE = 5.0, 10.0, 5.0
FORM_HEAD = b"POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer KEY\r\nContent-Length: 100\r\n"
CHUNKED = b"POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer KEY\r\nTransfer-Encoding: chunked\r\n\r\n"
SLOW = {
    "says nothing": Slow((), "/", None, HEAD_DEADLINE),
    "sends half a line": Slow((b"POST /e",), "/", 408, HEAD_DEADLINE),
    "sends half a head": Slow((FORM_HEAD % b"/ez",), "/ez", 408, HEAD_DEADLINE),
    "sends a head in drops": Slow((b"GET /ez HTTP/1.1\r\n", *[b"X-A: b\r\n"] * 12), "/ez", 408, HEAD_DEADLINE + 1),
    **{
        f"sends half a body to {path}": Slow(
            (FORM_HEAD % path.encode() + b"\r\nezkey=KEY&stat=zqstat&count=1",), path, 408, BODY_DEADLINE
        )
        for path in ("/ez", "/v1/stat", "/api/v1/batch", "/api/v1/stats", "/api/v1/auth/login")
    },
    **{
        f"sends half a chunk to {path}": Slow(
            (CHUNKED % path.encode() + b"400\r\nezkey=KEY&stat=zqstat",), path, 408, BODY_DEADLINE
        )
        for path in ("/ez", "/api/v1/stats")
    },
}


def _answer_to(port: int, key: str, slow: Slow) -> tuple[Reply | None, float]:
    with Connection(port, timeout=30) as connection:
        began = time.monotonic()
        for part in slow.parts:
            connection.send(part.replace(b"KEY", key.encode()))
            if len(slow.parts) > 1:
                time.sleep(0.5)  # not to wait for something: slowness is what is tried
        reply = connection.reply()
        return reply, time.monotonic() - began


@pytest.fixture(scope="module")
def slow_clients(ezstat: Ezstat, key: str) -> Iterator[dict[str, "Future[tuple[Reply | None, float]]"]]:
    """They take their time while the others are tried."""
    with ThreadPoolExecutor(len(SLOW)) as threads:
        yield {name: threads.submit(_answer_to, ezstat.port, key, slow) for name, slow in SLOW.items()}


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.usefixtures("slow_clients")
def test_it_is_refused(ezstat: Ezstat, key: str, name: str) -> None:
    case = TABLE[name]
    check(case, exchange(ezstat.port, case.wire(key), method=case.method), key)


@pytest.mark.parametrize("name", ORDINARY)
def test_it_is_refused_on_the_ordinary_route_too(ezstat: Ezstat, key: str, name: str) -> None:
    case = ORDINARY[name]
    assert not isinstance(case.request, bytes)
    if any(header == "Content-Encoding" for header, _ in case.request.headers):
        return
    # An encoded body, even so little encoded, is not for the hot path.
    request = case.request.with_header("Content-Encoding", "identity")
    check(case, exchange(ezstat.port, request.wire(key), method=case.method), key)


HALF = {
    "half a head": b"POST /ez HTTP/1.1\r\nHost: x\r\nContent-Le",
    "half a body": FORM_HEAD % b"/ez" + b"\r\nezkey=KEY&stat=zqstat&count=1",
    "half a body for the ordinary route": FORM_HEAD % b"/ez"
    + b"Content-Encoding: identity\r\n\r\nezkey=KEY&stat=zqstat&count=1",
    "half a batch": FORM_HEAD % b"/api/v1/batch" + b'\r\n[{"stat":"zqstat","count":1},',
    "half a chunk": CHUNKED % b"/ez" + b"400\r\nezkey=KEY&stat=zqstat&count=1",
    "no last chunk": CHUNKED % b"/v1/stat" + b'1d\r\n{"stat": "zqstat","count": 1}\r\n',
    "nothing": b"",
}


@pytest.mark.parametrize("what", HALF)
def test_a_socket_half_closed_after(ezstat: Ezstat, key: str, what: str) -> None:
    """The rest will never come: the connection ends, with a 400 or without a word."""
    reply = exchange(ezstat.port, HALF[what].replace(b"KEY", key.encode()), half_close=True)
    assert reply is None or reply.status == 400


@pytest.mark.parametrize("name", ["/ez: both", "/v1/stat: literal, NaN", "GET /api/v1/stats?limit=0"])
def test_a_half_closed_socket_still_hears_the_refusal(ezstat: Ezstat, key: str, name: str) -> None:
    case = TABLE[name]
    check(case, exchange(ezstat.port, case.wire(key), half_close=True), key)


@pytest.mark.parametrize("name", SLOW)
def test_a_slow_client_that(
    ezstat: Ezstat, key: str, slow_clients: dict[str, "Future[tuple[Reply | None, float]]"], name: str
) -> None:
    slow = SLOW[name]
    reply, seconds = slow_clients[name].result()
    assert seconds < slow.within + LATE
    if slow.status is None:
        assert reply is None
    else:
        check(Case(name, b"", slow.status, slow.path), reply, key)


def test_nothing_of_all_that_was_stored(ezstat: Ezstat, person: Person, key: str) -> None:
    """What was sent later is there, and it is the only thing."""
    before = n_of(person)
    assert ezstat.client().post("/ez", data={"ezkey": key, "stat": "there"}).is_success
    until(lambda: n_of(person) == before + 1, within=10)
    assert before == 1
    for mode in ("live", "test"):
        with person.api(mode=mode) as api:
            stats = api.get("/api/v1/stats").json()["stats"]
            assert [stat["name"] for stat in stats] == (["there"] if mode == "live" else [])
    assert stats_described(person) == ("", "", False)


def stats_described(person: Person) -> tuple[str, str, bool]:
    stat = person.client.get("/api/v1/stats/there").json()["stat"]
    return stat["unit"], stat["description"], stat["pinned"]


def test_nothing_was_made_of_the_keys_and_people_either(person: Person) -> None:
    keys = person.client.get("/api/v1/auth/api-keys").json()["api_keys"]
    assert {found["name"] for found in keys} == {"test"}
    assert person.client.get("/api/v1/auth/ez-keys").json()["ez_keys"] == []
    assert person.client.get("/api/v1/auth/read-keys").json()["read_keys"] == []
    refused = person.client.post(
        "/api/v1/auth/login", json={"email": "zq@example.org", "password": "zq-secret-zq-secret"}
    )
    assert refused.status_code == 401
    assert person.client.get("/api/v1/import").json()["imports"] == []


def test_our_own_log_holds_no_trace_of_an_error(ezstat: Ezstat, log_before: int) -> None:
    assert "Traceback" not in ezstat.logged(log_before)
