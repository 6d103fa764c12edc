"""The hot path's mechanism: what is answered before ASGI, in which order, and how connections end."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from libs.http.hot import Guards
from tests.eventually import eventually
from tests.libs.http.serving import Serving, answer_to, get, post, serving


@pytest.fixture(scope="module")
async def shared() -> AsyncIterator[Serving]:
    async with serving() as running:
        yield running


@pytest.fixture
def served(shared: Serving) -> Serving:
    """One server for most tests, as if it were new."""
    shared.paths.heads.clear()
    shared.recorder.requests.clear()
    shared.recorder.hold = False
    return shared


async def test_a_hot_post_is_answered_before_asgi(served: Serving) -> None:
    wire = await served.connect()
    wire.send(post(b"a=1", b"/ez?x=%20y", b"X-Name: V\r\n"))
    status, _, body = await wire.answer()
    assert (status, body) == (200, b"hot a=1")
    request = served.recorder.requests[0]
    assert (request.method, request.path, request.query) == (b"POST", b"/ez", b"x=%20y")
    assert (b"x-name", b"V") in request.headers
    assert request.client == "127.0.0.1"
    wire.close()


async def test_a_known_head_is_answered_without_the_parser_and_gives_the_same_request(served: Serving) -> None:
    wire = await served.connect()
    for body in (b"n=1", b"n=2", b"n=3"):
        wire.send(post(body))
        assert (await wire.answer())[2] == b"hot " + body
    first, second, third = served.recorder.requests
    assert second.head is third.head is first.head
    assert len(served.paths.heads) == 1
    wire.close()


async def test_known_heads_pipelined_in_one_packet_are_all_answered_in_order(served: Serving) -> None:
    wire = await served.connect()
    wire.send(post(b"n=0"))
    await wire.answer()
    wire.send(b"".join(post(b"n=%d" % n) for n in range(9)) + post(b"unknown=head"))
    assert [(await wire.answer())[2] for _ in range(10)] == [b"hot n=%d" % n for n in range(9)] + [b"hot unknown=head"]
    wire.close()


async def test_a_known_head_with_its_body_still_on_the_way_goes_through_the_parser(served: Serving) -> None:
    wire = await served.connect()
    wire.send(post(b"n=1"))
    await wire.answer()
    wire.send(post(b"n=2")[:-2])
    await wire.writer.drain()
    await asyncio.sleep(0)
    wire.send(b"=2")
    assert (await wire.answer())[2] == b"hot n=2"
    wire.close()


@pytest.mark.parametrize("step", [1, 7, 40])
async def test_requests_may_be_cut_anywhere(served: Serving, step: int) -> None:
    data = post(b"first=1") + get(b"/ez?q=2") + post(b"body", b"/asgi") + post(b"last=3")
    wire = await served.connect()
    for start in range(0, len(data), step):
        wire.send(data[start : start + step])
        await wire.writer.drain()
        await asyncio.sleep(0)
    answers = [(await wire.answer())[2] for _ in range(4)]
    assert answers == [b"hot first=1", b"hot ", b"/asgi body", b"hot last=3"]
    wire.close()


async def test_hot_and_asgi_answers_keep_the_order_of_their_requests(served: Serving) -> None:
    served.recorder.hold = True
    wire = await served.connect()
    wire.send(post(b"1") + post(b"2") + post(b"3", b"/asgi") + post(b"4") + post(b"5", b"/other"))
    await eventually(lambda: len(served.recorder.requests) == 2)
    first, second = served.recorder.requests
    second.answer(answer_to(second))
    first.answer(answer_to(first))
    answers = [(await wire.answer())[2] for _ in range(5)]
    assert answers == [b"hot 1", b"hot 2", b"/asgi 3", b"/ez 4", b"/other 5"]
    wire.send(post(b"6"))
    await eventually(lambda: len(served.recorder.requests) == 3)
    served.recorder.requests[2].answer(answer_to(served.recorder.requests[2]))
    assert (await wire.answer())[2] == b"hot 6"
    wire.close()


@pytest.mark.parametrize(
    "extra",
    [b"Idempotency-Key: k\r\n", b"Content-Encoding: gzip\r\n", b"Content-Type: Multipart/form-data; boundary=x\r\n"],
)
async def test_what_the_hot_path_does_not_read_goes_to_asgi(served: Serving, extra: bytes) -> None:
    wire = await served.connect()
    wire.send(post(b"x", extra=extra))
    assert (await wire.answer())[2] == b"/ez x"
    wire.close()


@pytest.mark.parametrize("method", [b"OPTIONS", b"HEAD", b"PUT", b"DELETE"])
async def test_other_methods_go_to_asgi(served: Serving, method: bytes) -> None:
    answer = await served.exchange(method + b" /ez HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert not served.recorder.requests


async def test_a_chunked_body_is_put_together(served: Serving) -> None:
    wire = await served.connect()
    head = b"POST /ez HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
    wire.send(head + b"2\r\nab\r\n3;x=y\r\ncde\r\n0\r\nTrailer: t\r\n\r\n" + post(b"next"))
    assert (await wire.answer())[2] == b"hot abcde"
    assert (await wire.answer())[2] == b"hot next"
    wire.close()


async def test_expect_100_continue_is_granted_before_the_body_comes(served: Serving) -> None:
    wire = await served.connect()
    whole = post(b"waited", extra=b"Expect: 100-continue\r\n")
    wire.send(whole[:-6])
    assert (await wire.answer())[0] == 100
    wire.send(b"waited")
    assert (await wire.answer())[2] == b"hot waited"
    wire.close()


async def test_http_1_0_is_answered_and_closed(served: Serving) -> None:
    wire = await served.connect()
    wire.send(post(b"old", version=b"1.0", extra=b"Connection: keep-alive\r\n"))
    answer = await wire.rest()
    assert answer.endswith(b"hot old")
    assert b"connection: close\r\n" in answer


async def test_connection_close_is_obeyed_and_nothing_after_it_is_read(served: Serving) -> None:
    wire = await served.connect()
    wire.send(post(b"one") + post(b"two", extra=b"Connection: close\r\n") + post(b"three"))
    answer = await wire.rest()
    assert answer.count(b"HTTP/1.1 200") == 2
    assert answer.count(b"connection: close") == 1
    assert served.recorder.bodies == [b"one", b"two"]


async def test_a_client_that_half_closes_gets_its_answers(served: Serving) -> None:
    served.recorder.hold = True
    wire = await served.connect()
    wire.send(post(b"one") + post(b"two"))
    wire.writer.write_eof()
    await eventually(lambda: len(served.recorder.requests) == 2)
    for request in served.recorder.requests:
        request.answer(answer_to(request))
    answer = await wire.rest()
    assert answer.count(b"HTTP/1.1 200") == 2


async def test_a_half_closed_asgi_request_is_answered_too(served: Serving) -> None:
    assert (await served.exchange(post(b"x", b"/asgi"))).endswith(b"/asgi x")


async def test_a_client_that_sends_and_closes_without_reading_is_recorded(served: Serving) -> None:
    for n in range(50):
        wire = await served.connect()
        wire.send(post(b"n=%d" % n))
        wire.close()
    await eventually(lambda: len(served.recorder.requests) == 50)
    assert sorted(served.recorder.bodies) == sorted(b"n=%d" % n for n in range(50))


async def test_an_answer_to_a_client_that_is_gone_is_no_error(served: Serving) -> None:
    served.recorder.hold = True
    wire = await served.connect()
    wire.send(post(b"x"))
    await eventually(lambda: served.recorder.requests)
    sock = wire.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not an end
    wire.writer.transport.abort()
    await eventually(lambda: not served.paths.connections)
    request = served.recorder.requests[0]
    request.answer(answer_to(request))


async def test_a_request_is_answered_once(served: Serving) -> None:
    wire = await served.connect()
    wire.send(post(b"x"))
    await wire.answer()
    with pytest.raises(RuntimeError):
        served.recorder.requests[0].answer(b"")
    wire.close()


async def test_a_handler_that_fails_gives_500_in_the_path_s_dialect_and_the_connection_goes_on() -> None:
    async with serving() as served:

        def fail(request: object) -> None:
            raise ZeroDivisionError

        served.paths.routes[b"/c"].handler = fail
        wire = await served.connect()
        wire.send(post(b"x", b"/c"))
        status, headers, body = await wire.answer()
        assert status == 500
        assert body.startswith(b'{"status":500,"msg":')
        assert headers["x-request-id"]
        wire.send(post(b"x"))
        assert (await wire.answer())[0] == 200
        wire.close()


async def test_an_offer_to_upgrade_is_ignored_and_the_body_is_read(served: Serving) -> None:
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAEAA\r\nUpgrade: h2c\r\n"
    wire = await served.connect()
    wire.send(post(b"java", extra=offer) + post(b"java", b"/asgi", b""))
    assert (await wire.answer())[2] == b"hot java"
    assert (await wire.answer())[2] == b"/asgi java"
    wire.close()


async def test_drain_answers_what_is_asked_and_says_close() -> None:
    async with serving(guards=Guards(drain_seconds=0.2)) as served:
        served.recorder.hold = True
        busy, idle, late = await served.connect(), await served.connect(), await served.connect()
        for wire in (busy, idle, late):
            wire.send(get(b"/asgi"))
            await wire.answer()
        busy.send(post(b"busy"))
        await eventually(lambda: served.recorder.requests)
        served.server.stop()
        await eventually(lambda: all(connection.closing for connection in served.paths.connections))
        late.send(post(b"late"))
        await eventually(lambda: len(served.recorder.requests) == 2)
        for request in served.recorder.requests:
            request.answer(answer_to(request))
        for wire in (busy, late):
            status, headers, _ = await wire.answer()
            assert (status, headers["connection"]) == (200, "close")
            assert await wire.rest() == b""
        assert await idle.rest() == b""


async def test_after_the_last_answer_nothing_more_is_recorded() -> None:
    async with serving(guards=Guards(drain_seconds=0.5)) as served:
        wire = await served.connect()
        wire.send(post(b"before"))
        await wire.answer()
        served.server.stop()
        await eventually(lambda: all(connection.closing for connection in served.paths.connections))
        wire.send(post(b"one") + post(b"two"))
        assert (await wire.rest()).count(b"HTTP/1.1 200") == 1
        assert served.recorder.bodies == [b"before", b"one"]
