"""Fault 21: no request that starts after a revocation was answered is accepted, in any process, whatever goes on."""

import asyncio
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.eventually import eventually
from tests.faults.long import LONG
from tests.running import Ezstat, Person, running

pytestmark = pytest.mark.fault

CLIENTS = 8 if LONG else 4
ROUNDS = 20 if LONG else 1


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ezstat]:
    workers = {"EZSTAT_HTTP_WORKERS": "4" if LONG else "2", "EZSTAT_RATE_LIMITS": "off"}
    with running(tmp_path_factory.mktemp("revocation") / "data", **workers) as started:
        yield started


@pytest.fixture(scope="module")
def person(house: Ezstat) -> Person:
    return house.sign_up()


class Hammer:
    """Clients that send points with a key, each request on a connection of its own so that it may meet any process.
    Notes of each when it started and how it was answered."""

    def __init__(self, house: Ezstat, key: str) -> None:
        self.house = house
        self.key = key
        self.answers: list[tuple[float, int]] = []

    async def strike(self) -> None:
        while True:
            async with httpx.AsyncClient(base_url=self.house.url, timeout=10) as client:
                started = time.monotonic()
                answer = await client.post("/ez", data={"ezkey": self.key, "stat": "revoked", "count": "1"})
                self.answers.append((started, answer.status_code))

    async def swing(self, until: asyncio.Event) -> None:
        striking = [asyncio.create_task(self.strike()) for _ in range(CLIENTS)]
        await until.wait()
        for task in striking:
            task.cancel()
        await asyncio.gather(*striking, return_exceptions=True)

    def accepted(self) -> int:
        return sum(status == 200 for _, status in self.answers)

    def started_after(self, moment: float) -> int:
        return sum(started > moment for started, _ in self.answers)

    def accepted_after(self, moment: float) -> list[int]:
        return [status for started, status in self.answers if started > moment and status != 401]


@pytest.mark.parametrize("_round", range(ROUNDS))
async def test_no_request_that_starts_after_the_delete_was_answered_is_accepted(
    house: Ezstat, person: Person, _round: int
) -> None:
    made = (await asyncio.to_thread(person.client.post, "/api/v1/auth/api-keys", json={"name": "x"})).json()
    hammer, enough = Hammer(house, made["key"]), asyncio.Event()
    swinging = asyncio.create_task(hammer.swing(enough))
    await eventually(lambda: hammer.accepted() >= 20, within=15)
    gone = await asyncio.to_thread(person.client.delete, f"/api/v1/auth/api-keys/{made['id']}")
    answered = time.monotonic()
    assert gone.status_code == 204, gone.text
    await eventually(lambda: hammer.started_after(answered) >= 20, within=15)
    enough.set()
    await swinging
    assert hammer.accepted_after(answered) == []
    assert {status for _, status in hammer.answers} == {200, 401}


async def test_a_request_under_way_when_its_key_is_revoked_is_refused(house: Ezstat, person: Person) -> None:
    made = person.client.post("/api/v1/auth/api-keys", json={"name": "x"}).json()
    body = f"ezkey={made['key']}&stat=under+way&count=1".encode()
    form = "Content-Type: application/x-www-form-urlencoded"
    head = f"POST /ez HTTP/1.1\r\nHost: x\r\n{form}\r\nContent-Length: {len(body)}\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(head.encode() + body[:-1])
    await writer.drain()
    assert person.client.delete(f"/api/v1/auth/api-keys/{made['id']}").status_code == 204
    writer.write(body[-1:])
    assert (await reader.readline()).split()[1] == b"401"
    writer.close()


async def test_a_process_that_was_killed_holds_no_revocation_up(house: Ezstat, person: Person) -> None:
    made = person.client.post("/api/v1/auth/api-keys", json={"name": "x"}).json()
    for _ in range(8):
        with house.client() as client:
            assert client.post("/ez", data={"ezkey": made["key"], "stat": "x", "count": 1}).status_code == 200
    await asyncio.to_thread(house.kill, "http-2")
    for _ in range(50):
        try:
            gone = await asyncio.to_thread(person.client.delete, f"/api/v1/auth/api-keys/{made['id']}")
            break
        except httpx.TransportError:  # the killed process had our connection
            continue
    assert gone.status_code == 204, gone.text
