"""Faults 16, 17 and 18: clients that mean harm. The house stays small, quick and polite."""

import gzip
import random
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import quantiles

import httpx
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.eventually import until
from tests.faults.long import LONG
from tests.flows.bad_input import bodies, heads, points
from tests.running import Ezstat, Person
from tests.wire import JSON, Connection, exchange, post

pytestmark = pytest.mark.fault

MIB = 1 << 20
GROWTH = 100 * MIB
SLOW_CLIENTS = 500
CUT_WITHIN = 10 + 2.0
AUTH = ("Authorization", "Bearer KEY")


def restarts(ezstat: Ezstat) -> int:
    rows = ezstat.components().values()
    return sum(row["restarts"] for row in rows if row["role"] in ("http", "work"))


@pytest.fixture(scope="module", autouse=True)
def before(ezstat: Ezstat) -> tuple[int, int]:
    """How often our processes had been restarted, and how long the log was, when these tests began."""
    return restarts(ezstat), ezstat.log.stat().st_size


@pytest.fixture(scope="module")
def person(ezstat: Ezstat) -> Person:
    return ezstat.sign_up()


@pytest.fixture(scope="module")
def key(person: Person) -> str:
    return person.key()


def http_memory(ezstat: Ezstat) -> int:
    """Resident bytes of the HTTP processes."""
    rows = ezstat.components().values()
    return sum(psutil.Process(row["pid"]).memory_info().rss for row in rows if row["role"] == "http")


# 16, memory


def huge_bodies(port: int, key: str) -> Iterator[int | None]:
    """The answers to bodies that must not be held."""
    twenty = post("/ez", b"x" * (20 * MIB), JSON)
    yield status(exchange(port, twenty.wire(key)))
    head = b"POST /ez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    yield status(exchange(port, head + (b"10000\r\n" + b"x" * 65536 + b"\r\n") * 320))
    yield status(exchange(port, b"GET / HTTP/1.1\r\nX-A: " + b"z" * (10 * MIB)))
    bomb = gzip.compress(bytes(200 * MIB), 9)
    for path in ("/ez", "/api/v1/batch", "/api/v1/stats"):
        yield status(exchange(port, post(path, bomb, JSON, [AUTH, ("Content-Encoding", "gzip")]).wire(key)))
    yield status(exchange(port, post("/api/v1/stats", b"x" * (20 * MIB), JSON, [AUTH]).wire(key)))


def status(reply: object) -> int | None:
    return getattr(reply, "status", None)


def test_what_is_too_large_is_refused_and_not_held(ezstat: Ezstat, key: str) -> None:
    before = http_memory(ezstat)
    for _ in range(3 if LONG else 1):
        # None: the client was still sending when the answer was given, and the connection was cut.
        assert set(huge_bodies(ezstat.port, key)) <= {413, 431, None}
    assert http_memory(ezstat) - before < GROWTH


def test_a_batch_of_ten_thousand_rows_is_taken_and_let_go(ezstat: Ezstat, person: Person, key: str) -> None:
    rows = b"[" + b",".join(b'{"stat":"many","count":1}' for _ in range(10_000)) + b"]"
    before = http_memory(ezstat)
    for _ in range(5 if LONG else 2):
        assert status(exchange(ezstat.port, post("/api/v1/batch", rows, JSON, [AUTH]).wire(key))) == 200
    assert http_memory(ezstat) - before < GROWTH


# 17, slowness


@contextmanager
def slow_clients(port: int, key: str, n: int) -> Iterator[list[socket.socket]]:
    """Connections that sent nothing, half a head or half a body."""
    half = b"POST /ez HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
    begun = (b"", half, half + b"\r\nezkey=" + key.encode())
    with ExitStack() as open_sockets:
        clients = []
        for i in range(n):
            client = open_sockets.enter_context(socket.create_connection(("127.0.0.1", port), 5))
            client.sendall(begun[i % len(begun)])
            clients.append(client)
        yield clients


def answer_times(ezstat: Ezstat, key: str, n: int) -> list[float]:
    times = []
    for _ in range(n):
        began = time.monotonic()
        assert httpx.post(f"{ezstat.url}/ez", data={"ezkey": key, "stat": "honest"}, timeout=10).status_code == 200
        times.append(time.monotonic() - began)
    return times


def has_ended(client: socket.socket) -> bool:
    client.settimeout(0.0)
    try:
        while client.recv(4096):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def test_slow_clients_take_nobodys_place(ezstat: Ezstat, key: str) -> None:
    """The honest are answered meanwhile; in the long form the slow are seen cut off."""
    with slow_clients(ezstat.port, key, SLOW_CLIENTS) as clients:
        began = time.monotonic()
        assert quantiles(answer_times(ezstat, key, 100), n=100)[-1] < 1
        if LONG:
            until(lambda: all(map(has_ended, clients)), within=CUT_WITHIN - (time.monotonic() - began))
    answer_times(ezstat, key, 5)


def test_more_connections_than_there_is_room_for_are_told_so(ezstat: Ezstat, key: str) -> None:
    """Or ended; and it passes."""
    with slow_clients(ezstat.port, key, 1_100):
        surplus = exchange(ezstat.port, post("/ez", b"ezkey=KEY&stat=honest").wire(key))
        assert surplus is None or surplus.status == 503
        if surplus is not None:
            assert int(surplus.headers["retry-after"]) >= 1
    until(lambda: status(exchange(ezstat.port, post("/ez", b"ezkey=KEY&stat=honest").wire(key))) == 200)


# 18, fuzz

SEEDS = [case.wire("ss_live_nobody") for case in (*points.CASES[::60], *bodies.CASES[::40], *heads.CASES[::4])]
SEEDS = [seed for seed in SEEDS if len(seed) < 2000]
MEANINGFUL = [b"\0", b"\r\n", b"\n", b"%", b"&", b"=", b"{", b"}", b'"', b"\xff", b"9" * 30, b"chunked", b": ", b" "]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A request that somebody sat on."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 3)):
            case 0:
                data[at:at] = draw(st.sampled_from(MEANINGFUL))
            case 1:
                del data[at : at + draw(st.integers(1, 20))]
            case 2:
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=3))
            case _:
                data[at:at] = data[: draw(st.integers(0, 50))]
    return bytes(data)


@settings(
    max_examples=5000 if LONG else 300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.one_of(mutated(), st.binary(max_size=400)))
def test_no_bytes_are_answered_with_a_fault_of_ours(ezstat: Ezstat, data: bytes) -> None:
    with Connection(ezstat.port) as connection:
        connection.send(data)
        connection.half_close()
        for reply in connection.replies():
            assert reply.status < 500, reply
            if reply.body and reply.headers["content-type"] == "application/json":
                reply.json()


def test_after_all_that_it_is_well(ezstat: Ezstat, person: Person, key: str, before: tuple[int, int]) -> None:
    """No process was restarted, nothing unexpected was logged, and points are counted."""
    assert restarts(ezstat) == before[0]
    assert "Traceback" not in ezstat.logged(before[1])
    name = f"well {random.random()}"
    assert httpx.post(f"{ezstat.url}/ez", data={"ezkey": key, "stat": name}).status_code == 200
    until(lambda: person.client.get(f"/api/v1/stats/{name}").status_code == 200)
