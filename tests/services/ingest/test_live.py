"""Points as they land, for who may see them."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import uuid4

import httpx
import pytest

from libs.contracts.ingest import points_subject
from services.ingest.live import MOST_WAITING, Live, Watcher
from tests.eventually import eventually, until
from tests.running import Ezstat, Person
from tests.services.ingest.stage import NOON, Stage, source


class Viewer:
    """Reads a live stream in a thread."""

    def __init__(self, client: httpx.Client) -> None:
        self.open = threading.Event()
        self.ended = threading.Event()
        self.points: list[dict[str, Any]] = []
        self._client = client
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        assert self.open.wait(5)

    def _read(self) -> None:
        stream = self._client.stream("GET", "/api/v1/live", timeout=httpx.Timeout(5, read=30))
        with suppress(httpx.HTTPError), stream as answer:
            assert answer.headers["cache-control"] == "no-store"
            for line in answer.iter_lines():
                self.open.set()
                if line.startswith("data: "):
                    self.points += json.loads(line[6:])["points"]
        self.ended.set()


@pytest.fixture
def person(ezstat: Ezstat) -> Person:
    return ezstat.sign_up()


@contextmanager
def watching(*clients: httpx.Client) -> Iterator[list[Viewer]]:
    yield [Viewer(client) for client in clients]
    for client in clients:
        client.close()


def test_points_are_seen_by_their_account_and_mode_only(ezstat: Ezstat, person: Person) -> None:
    sender, test_sender = person.api(), person.api(mode="test")
    with watching(person.api(), person.api(mode="test"), ezstat.sign_up().api()) as (mine, test, stranger):

        def seen() -> bool:
            # The subscription may be a moment younger than the stream's first byte.
            sender.post("/v1/stat", json={"stat": "seen", "count": 2})
            return bool(mine.points)

        until(seen)
        test_sender.post("/v1/stat", json={"stat": "tested", "value": 1.5})
        until(lambda: test.points)
    assert {point["stat"] for point in mine.points} == {"seen"}
    assert mine.points[0]["value"] == 2
    assert mine.points[0]["type"] == "counter"
    assert {point["stat"] for point in test.points} == {"tested"}
    assert stranger.points == []


def test_a_revoked_key_sees_no_more(person: Person) -> None:
    answer = person.client.post("/api/v1/auth/api-keys", json={"name": "doomed"}).json()
    client = person.ezstat.client(Authorization=f"Bearer {answer['key']}")
    with watching(client) as (viewer,):
        person.client.delete(f"/api/v1/auth/api-keys/{answer['id']}").raise_for_status()
        assert viewer.ended.wait(5)


def test_nobody_watches_without_a_key(ezstat: Ezstat) -> None:
    assert httpx.get(f"{ezstat.url}/api/v1/live").status_code == 401


async def test_many_points_are_told_at_once_and_what_is_too_much_is_counted(stage: Stage) -> None:
    live = Live(stage.process.bus)
    account, stranger = uuid4(), uuid4()
    with live.watching(account, "live") as watcher:
        await asyncio.sleep(0)  # let it subscribe
        await stage.process.bus.nc.flush()
        await stage.send(source("theirs", stranger), [(NOON, 1.0)])
        await stage.send(source("mine", account), [(NOON + i, float(i)) for i in range(2_500)])
        events = [event for _ in range(3) if (event := await watcher.following())]
    told = [json.loads(event.split(b"data: ")[1]) for event in events]
    assert sum(len(one["points"]) + one["skipped"] for one in told) == 2_500
    assert {point["stat"] for one in told for point in one["points"]} == {"mine"}
    assert max(len(one["points"]) for one in told) == 1000
    # Nobody watches any more: the subscription goes.
    await eventually(lambda: live.idle)


async def test_a_frame_that_is_sent_again_is_told_once(stage: Stage) -> None:
    live, account = Live(stage.process.bus), uuid4()
    with live.watching(account, "live") as watcher:
        await asyncio.sleep(0)
        await stage.process.bus.nc.flush()
        body = await stage.send(source("mine", account), [(NOON, 1.0)])
        await stage.publisher.publish(points_subject(0), "again", body)
        events = [event for _ in range(2) if (event := await watcher.following())]
    assert [len(json.loads(event.split(b"data: ")[1])["points"]) for event in events] == [1]


async def test_who_reads_too_slowly_is_sent_away() -> None:
    watcher = Watcher()
    for i in range(MOST_WAITING):
        watcher.tell(b"%d" % i)
    assert await watcher.following() == b"0"
    watcher.tell(b"one more fits")
    watcher.tell(b"and one does not")
    assert await watcher.following() is None
