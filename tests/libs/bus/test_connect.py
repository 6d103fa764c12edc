import asyncio
import logging

import msgspec
import pytest

from libs.bus import trace
from libs.bus.connect import Bus
from libs.bus.errors import BusUnavailable
from libs.runtime.children import free_port
from tests.eventually import eventually
from tests.servers import Servers

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Question(msgspec.Struct):
    number: int


class Answer(msgspec.Struct):
    number: int
    trace: str = ""


async def test_without_a_server_a_bus_starts_and_says_unavailable():
    bus = Bus.start(f"nats://127.0.0.1:{free_port()}", "lonely")
    assert not bus.connected
    with pytest.raises(BusUnavailable):
        await bus.wait(0.05)
    with pytest.raises(BusUnavailable):
        await bus.broadcast("t.news", Question(1))
    with pytest.raises(BusUnavailable):
        await bus.request("t.ask", Question(1), Answer)
    await bus.close()


async def test_a_broadcast_reaches_everyone_who_listens_with_its_traceparent(bus: Bus):
    heard: list[tuple[int, str]] = []

    async def hear(question: Question) -> None:
        heard.append((question.number, trace.current()))

    await bus.listen("t.news", Question, hear)
    await bus.listen("t.news", Question, hear)
    with trace.following(TRACEPARENT):
        await bus.broadcast("t.news", Question(7))
    await eventually(lambda: heard == [(7, TRACEPARENT)] * 2)


async def test_a_question_is_answered_by_one_of_the_queue(bus: Bus):
    async def double(question: Question) -> Answer:
        return Answer(2 * question.number, trace.current())

    await bus.answer("t.double", Question, double, "doublers")
    await bus.answer("t.double", Question, double, "doublers")
    with trace.following(TRACEPARENT):
        assert await bus.request("t.double", Question(21), Answer) == Answer(42, TRACEPARENT)


async def test_a_question_that_nobody_answers_or_fails_is_unavailable(bus: Bus, caplog: pytest.LogCaptureFixture):
    with pytest.raises(BusUnavailable):
        await bus.request("t.void", Question(1), Answer)

    async def fail(question: Question) -> Answer:
        raise ZeroDivisionError("secret")

    await bus.answer("t.fail", Question, fail, "failers")
    with caplog.at_level(logging.ERROR), pytest.raises(BusUnavailable, match="ZeroDivisionError"):
        await bus.request("t.fail", Question(1), Answer)
    assert "answering t.fail failed" in caplog.text


async def test_a_survey_gathers_answers_until_there_are_enough_or_time_is_over(bus: Bus):
    for number in range(3):

        async def tell(_: Question, number: int = number) -> Answer:
            return Answer(number)

        await bus.listen("t.survey", Question, tell)
    all_three = await bus.survey("t.survey", Question(0), Answer, 5, lambda answers: len(answers) == 3)
    assert sorted(answer.number for answer in all_three) == [0, 1, 2]
    assert await bus.survey("t.nobody", Question(0), Answer, 0.05, lambda answers: False) == []


async def test_a_killed_server_is_noticed_and_listeners_hear_again_after_it_is_back(own_servers: Servers):
    bus = Bus.start(own_servers.nats_url, "survivor")
    events: list[str] = []
    bus.on_lost(lambda: events.append("lost"))
    bus.on_back(lambda: events.append("back"))
    await bus.wait(5)
    heard: list[int] = []

    async def hear(question: Question) -> None:
        heard.append(question.number)

    await bus.listen("t.before", Question, hear)
    own_servers.nats.kill()
    await eventually(lambda: not bus.connected)
    await bus.listen("t.meanwhile", Question, hear)
    await asyncio.to_thread(own_servers.nats.start)
    await bus.wait(5)
    await bus.broadcast("t.before", Question(1))
    await bus.broadcast("t.meanwhile", Question(2))
    await eventually(lambda: heard == [1, 2])
    assert events == ["back", "lost", "back"]
    await bus.close()


async def test_a_hung_server_is_not_taken_for_connected(own_servers: Servers):
    bus = Bus.start(own_servers.nats_url, "watchful")
    await bus.wait(5)
    own_servers.nats.freeze()
    try:
        await eventually(lambda: not bus.connected, within=6)
        assert bus.nc.is_connected, "nats-py has not noticed yet"
    finally:
        own_servers.nats.thaw()
    await bus.wait(5)
    await bus.close()
