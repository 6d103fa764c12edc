"""Points as they land, for who may see them."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import pytest

from tests.eventually import until
from tests.running import Ezstat, Person


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
