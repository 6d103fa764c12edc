"""P7: bad input is a 4xx with a JSON error in the dialect of its path; nothing of it is kept, and nothing repeated."""

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from urllib.parse import quote

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
ORDINARY = {name: case for name, case in TABLE.items() if case.answering in SENDING and not isinstance(case.request, bytes)}


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
    elif path.startswith("/v1/"):
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


@pytest.mark.parametrize("name", TABLE)
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
