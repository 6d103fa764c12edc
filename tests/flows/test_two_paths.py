"""The same bytes get the same answers, and have the same effects, on the hot path and on the ordinary routes."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.faults.long import LONG
from tests.flows.streams import Stream, addressed, streams
from tests.flows.totals import summary
from tests.running import Ezstat, Person, running
from tests.wire import Connection, Reply

COMPARED = ("content-type", "www-authenticate", "access-control-allow-origin", "allow", "retry-after")


class Side:
    """An installation and a sender of it."""

    def __init__(self, ezstat: Ezstat) -> None:
        self.ezstat = ezstat
        self.person: Person = ezstat.sign_up()
        self.key = self.person.key()
        for field, name in (("count", "count plain"), ("value", "value plain")):
            assert ezstat.client().post("/ez", data={"ezkey": self.key, "stat": name, field: "1"}).is_success

    def told(self, stream: Stream) -> list[Any]:
        """What every request of a stream is answered; None where the connection ended instead."""
        with Connection(self.ezstat.port) as connection:
            if stream.together:
                return self._pipelined(connection, stream)
            answers: list[Any] = []
            for sent in stream.requests:
                connection.send(addressed(sent, self.key))
                reply = connection.reply(to_head=sent.to_head)
                answers.append(_said(reply))
                if reply is None or sent.ends:
                    break
            return answers

    def _pipelined(self, connection: Connection, stream: Stream) -> list[Any]:
        data = b"".join(addressed(sent, self.key) for sent in stream.requests)
        edges = [0, *(cut for cut in stream.cuts if cut < len(data)), len(data)]
        for start, stop in pairwise(edges):
            connection.send(data[start:stop])
        connection.half_close()
        answers = [_said(connection.reply(to_head=sent.to_head)) for sent in stream.requests]
        assert connection.ended
        return answers

    def effects(self) -> dict[str, tuple[str, Counter[tuple[float, float]]]]:
        """Every stat with its kind and its points; times of now are left out."""
        found: dict[str, tuple[str, Counter[tuple[float, float]]]] = {}
        for stat in self.person.client.get("/api/v1/export").json()["stats"]:
            _, points = found.setdefault(stat["stat"], (stat["type"], Counter()))
            points.update((t if t < 1_750_000_000 else 0, value) for t, value in stat["points"])
        return found


def _said(reply: Reply | None) -> Any:
    if reply is None:
        return None
    limits = "x-ratelimit-limit" in reply.headers
    return reply.status, reply.body, limits, {name: reply.headers.get(name) for name in COMPARED}


@pytest.fixture(scope="module")
def hot(ezstat: Ezstat) -> Side:
    return Side(ezstat)


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    folder = tmp_path_factory.mktemp("ordinary") / "data"
    with running(folder, EZSTAT_HOT_PATH="off", EZSTAT_LOGIN_RATE="100000") as started:
        yield Side(started)


@settings(
    max_examples=2000 if LONG else 150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(stream=streams())
def test_the_same_bytes_are_answered_alike(hot: Side, ordinary: Side, stream: Stream) -> None:
    assert hot.told(stream) == ordinary.told(stream)


def test_and_have_the_same_effects(hot: Side, ordinary: Side) -> None:
    """Both are told a last point, so that what came before it is stored when that one is."""
    for side in (hot, ordinary):
        sent = {"ezkey": side.key, "stat": "the last one"}
        assert side.ezstat.client().post("/ez", data=sent).is_success
        summary(side.person, "the last one")
    assert hot.effects() == ordinary.effects()
    assert len(hot.effects()) > 3
