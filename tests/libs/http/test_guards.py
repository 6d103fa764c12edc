"""Guards of every connection: late, huge, malformed and too many requests end, with an answer where one can be read."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from libs.http.hot import CACHED_HEADS, Guards
from libs.http.proxies import Proxies
from tests.eventually import eventually
from tests.libs.http.serving import Serving, answer_to, get, post, serving

SHORT = Guards(head_seconds=0.2, body_seconds=0.2, idle_seconds=0.2, drain_seconds=0.05, linger_seconds=0.2)


@pytest.fixture(scope="module")
async def shared() -> AsyncIterator[Serving]:
    async with serving(guards=SHORT, limit=1000) as running:
        yield running


@pytest.fixture
def served(shared: Serving) -> Serving:
    shared.recorder.requests.clear()
    shared.recorder.hold = False
    shared.paths.heads.clear()
    return shared


def refusal(data: bytes) -> tuple[int, object]:
    """Status and JSON body of the last answer in `data`."""
    head, _, body = data[data.rindex(b"HTTP/1.1 ") :].partition(b"\r\n\r\n")
    assert b"connection: close" in head
    assert b"x-request-id: " in head
    return int(head.split()[1]), json.loads(body)


@pytest.mark.parametrize(
    "half", [b"P", b"POST /ez HT", b"POST /ez HTTP/1.1\r\nHost: t\r\nX-Slow:", post(b"body")[:-1], b"\r\n\r\nPOST"]
)
async def test_half_a_request_is_408(served: Serving, half: bytes) -> None:
    wire = await served.connect()
    wire.send(half)
    assert refusal(await wire.rest())[0] == 408


async def test_a_head_that_trickles_in_is_cut_off_all_the_same(served: Serving) -> None:
    wire = await served.connect()
    wire.send(b"POST /ez HTTP/1.1\r\n")

    async def trickle() -> None:
        while True:
            wire.send(b"X-More: 1\r\n")
            await asyncio.sleep(0.02)

    trickling = asyncio.create_task(trickle())
    try:
        assert refusal(await wire.rest())[0] == 408
    finally:
        trickling.cancel()


async def test_a_silent_connection_is_closed(served: Serving) -> None:
    wire = await served.connect()
    assert await wire.rest() == b""


async def test_an_idle_connection_is_closed_after_its_answers(served: Serving) -> None:
    wire = await served.connect()
    wire.send(post(b"x") + get(b"/asgi"))
    assert (await wire.rest()).count(b"HTTP/1.1 200") == 2


async def test_a_connection_that_waits_for_its_answer_is_not_idle(served: Serving) -> None:
    served.recorder.hold = True
    wire = await served.connect()
    wire.send(post(b"patient"))
    await eventually(lambda: served.recorder.requests)
    await asyncio.sleep(4 * SHORT.idle_seconds)
    request = served.recorder.requests[0]
    request.answer(answer_to(request))
    assert (await wire.answer())[2] == b"hot patient"
    wire.close()


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 17_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX-Long: " + b"a" * 17_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 3000 + b"\r\n",
        b"GET / HTTP/1.1\r\nX-Endless: " + b"a" * 300_000,
        post(b"x") + b"GET / HTTP/1.1\r\nX-Long: " + b"a" * 17_000 + b"\r\n\r\n",
    ],
)
async def test_a_head_that_is_too_large_is_431(served: Serving, head: bytes) -> None:
    wire = await served.connect()
    wire.send(head)
    assert refusal(await wire.rest())[0] == 431


async def test_a_hot_body_that_is_too_large_is_413_in_the_path_s_dialect(served: Serving) -> None:
    chunked = (
        b"POST /ez HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n" + b"200\r\n%b\r\n" % (b"x" * 512) * 3
    )
    announced = b"POST /ez HTTP/1.1\r\nHost: t\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n"
    for data in (post(b"x" * 1001), announced, chunked):
        wire = await served.connect()
        wire.send(data)
        answer = await wire.rest()
        assert refusal(answer) == (413, {"status": 413, "msg": "The body is too large."})
        assert b"100 Continue" not in answer
    assert not served.recorder.requests


async def test_a_refusal_can_be_read_by_a_client_that_is_still_sending(served: Serving) -> None:
    wire = await served.connect()
    wire.send(post(b"x" * 5_000_000))
    assert refusal(await wire.rest())[0] == 413


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\nHost: t\n\n",
        b"POST /ez HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /ez HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"POST /ez HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /ez HTTP/1.1\r\nContent-Length: 1_0\r\n\r\n0123456789",
        b"POST /ez HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST /ez HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST /ez HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /asgi HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nName : value\r\n\r\n",
        b"GET / HTTP/1.1\r\nBad\x00Name: value\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: t\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: t\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_400(served: Serving, data: bytes) -> None:
    wire = await served.connect()
    wire.send(data)
    assert refusal(await wire.rest())[0] == 400
    assert not served.recorder.requests


async def test_a_refusal_comes_after_the_answers_before_it(served: Serving) -> None:
    served.recorder.hold = True
    wire = await served.connect()
    wire.send(post(b"one") + b"garbage\r\n\r\n")
    await eventually(lambda: served.recorder.requests)
    request = served.recorder.requests[0]
    request.answer(answer_to(request))
    answer = await wire.rest()
    assert answer.index(b"hot one") < answer.index(b"HTTP/1.1 400")


async def test_garbage_after_an_asgi_request_does_not_take_its_answer_away(served: Serving) -> None:
    wire = await served.connect()
    wire.send(post(b"one", b"/asgi") + b"garbage\r\n\r\n")
    assert (await wire.rest()).endswith(b"/asgi one")


@pytest.mark.parametrize(
    "first",
    [
        b"POST /ez HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\n" + b"smuggled\r\n\r\n",
        b"\r\n\r\n" + post(b"body"),
        b"POST /ez HTTP/1.1\r\nHost: t\r\nX: a\rb\r\nContent-Length: 4\r\n\r\nbody",
        b"POST /ez HTTP/1.1\r\nHost: t\r\nX: a\r\n folded\r\nContent-Length: 4\r\n\r\nbody",
    ],
)
async def test_only_a_head_whose_end_is_beyond_doubt_is_remembered(served: Serving, first: bytes) -> None:
    await served.exchange(first)
    assert all(raw.startswith(b"POST ") and raw.count(b"\r\n\r\n") == 1 for raw in served.paths.heads)
    assert b"\r\n\r\n" not in served.paths.heads
    assert not [
        raw for raw in served.paths.heads if raw.replace(b"\r\n", b"").strip(b"\r\n") != raw.replace(b"\r\n", b"")
    ]


async def test_remembered_heads_are_bounded_in_number_and_size() -> None:
    async with serving() as served:
        wire = await served.connect()
        for n in range(CACHED_HEADS + 50):
            wire.send(post(b"", extra=b"X-N: %d\r\n" % n))
            await wire.answer()
        assert 0 < len(served.paths.heads) <= 50
        long = post(b"", extra=b"X-Long: %b\r\n" % (b"a" * 2000))
        wire.send(long)
        await wire.answer()
        assert long not in served.paths.heads
        wire.close()


async def test_connections_over_the_limit_are_told_to_come_back() -> None:
    async with serving(guards=Guards(connections=2, drain_seconds=0.02)) as served:
        first, second = await served.connect(), await served.connect()
        for wire in (first, second):
            wire.send(post(b"x"))
            assert (await wire.answer())[0] == 200
        for data in (post(b"x"), post(b"x", b"/asgi")):
            surplus = await served.connect()
            surplus.send(data)
            answer = await surplus.rest()
            assert refusal(answer)[0] == 503
            assert b"Retry-After: 5" in answer
        first.send(post(b"x"))
        assert (await first.answer())[0] == 200
        first.close()
        second.close()


async def test_a_client_that_pipelines_without_end_is_read_no_faster_than_it_is_answered() -> None:
    async with serving(guards=Guards(waiting=8, drain_seconds=0.02)) as served:
        served.recorder.hold = True
        wire = await served.connect()
        one = post(b"x" * 10_000)
        wire.send(one * 500)
        await eventually(lambda: len(served.recorder.requests) > 8)
        await asyncio.sleep(0.05)
        assert len(served.recorder.requests) < 250
        answering = asyncio.create_task(answer_in_bursts(served, 500))
        for _ in range(500):
            assert (await wire.answer())[0] == 200
        await answering
        wire.close()


async def answer_in_bursts(served: Serving, total: int) -> None:
    """Answer whatever has come, the latest first."""
    requests = served.recorder.requests
    done = 0
    while done < total:
        burst = requests[done:]
        done += len(burst)
        for request in reversed(burst):
            request.answer(answer_to(request))
        await asyncio.sleep(0.001)


async def test_a_client_that_does_not_read_its_answers_is_cut_off() -> None:
    guards = Guards(head_seconds=0.4, stalled_seconds=0.2, drain_seconds=0.02)
    async with serving(guards=guards) as served:
        wire = await served.connect()
        wire.reader._transport.pause_reading()  # type: ignore[attr-defined]
        for _ in range(3000):
            wire.send(post(b"x" * 10_000))
            if wire.writer.is_closing() or not served.paths.connections:
                break
            await asyncio.sleep(0.001)
        await eventually(lambda: not served.paths.connections)
        wire.close()


async def test_the_client_is_who_the_proxy_says_only_if_it_is_ours() -> None:
    for trusted, client in (("127.0.0.0/8", "198.51.100.1"), ("", "127.0.0.1")):
        async with serving(proxies=Proxies(trusted)) as served:
            wire = await served.connect()
            wire.send(post(b"x", extra=b"X-Forwarded-For: 198.51.100.1\r\n"))
            await wire.answer()
            assert served.recorder.requests[0].client == client
            wire.close()


async def test_where_https_is_required_plain_http_is_left_to_the_app_also_with_a_known_head() -> None:
    told = post(b"x", extra=b"X-Forwarded-Proto: https\r\n")
    async with serving(proxies=Proxies("127.0.0.1"), require_https=True) as served:
        wire = await served.connect()
        wire.send(post(b"x"))
        assert (await wire.answer())[2] == b"/ez x"
        wire.send(told)
        assert (await wire.answer())[2] == b"hot x"
        served.paths.proxies = Proxies("10.0.0.1")
        stranger = await served.connect()
        stranger.send(told)
        assert (await stranger.answer())[2] == b"/ez x"
        wire.close()
        stranger.close()
