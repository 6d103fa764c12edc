"""A load whose every request can be found in the totals: request i of a stat adds 4**i, so that digit i of the total in
base 4 says how often it was applied."""

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

PER_STAT = 26
"""4**26 = 2**52: totals stay exact in a double."""

Send = Callable[[httpx.AsyncClient, str, str, float], Awaitable[httpx.Response]]


async def ez(client: httpx.AsyncClient, key: str, stat: str, count: float) -> httpx.Response:
    return await client.post("/ez", data={"ezkey": key, "stat": stat, "count": f"{count:.0f}"})


async def classic(client: httpx.AsyncClient, key: str, stat: str, count: float) -> httpx.Response:
    return await client.post("/c", data={"ukey": key, "key": stat, "count": f"{count:.0f}"})


async def pixel(client: httpx.AsyncClient, key: str, stat: str, count: float) -> httpx.Response:
    return await client.get("/c", params={"ukey": key, "key": stat, "count": f"{count:.0f}"})


async def v1(client: httpx.AsyncClient, key: str, stat: str, count: float) -> httpx.Response:
    row = {"stat": stat, "count": count}
    return await client.post("/v1/stat", json=row, headers={"Authorization": f"Bearer {key}"})


async def batch(client: httpx.AsyncClient, key: str, stat: str, count: float) -> httpx.Response:
    rows = [{"stat": stat, "count": count}]
    return await client.post("/api/v1/batch", json=rows, headers={"Authorization": f"Bearer {key}"})


async def rest(client: httpx.AsyncClient, key: str, stat: str, count: float) -> httpx.Response:
    """Through FastAPI."""
    path = f"/api/v1/stats/{stat}/count"
    return await client.post(path, json={"count": count}, headers={"Authorization": f"Bearer {key}"})


DIALECTS: tuple[Send, ...] = (ez, classic, pixel, v1, batch, rest)


@dataclass
class Account:
    """What was sent and what was answered: (stat, digit) -> HTTP status, 0 for no answer."""

    answered: dict[tuple[str, int], int] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)

    @property
    def statuses(self) -> Counter[int]:
        return Counter(self.answered.values())

    def p99(self) -> float:
        """Seconds within which 99 of 100 answers came."""
        return sorted(self.waits)[int(len(self.waits) * 0.99)] if self.waits else 0.0

    def check(self, totals: dict[str, int]) -> None:
        """Acknowledged: once. Refused: never. No answer or 5xx: at most once."""
        wrong = [
            f"{stat}[{digit}] answered {status}, applied {times} times"
            for (stat, digit), status in self.answered.items()
            if not _right(status, times := totals.get(stat, 0) >> (2 * digit) & 3)
        ]
        assert not wrong, f"{len(wrong)} of {len(self.answered)} wrong: {wrong[:10]}"

    @property
    def acknowledged(self) -> dict[str, int]:
        """The least that each stat's total must come to."""
        least: Counter[str] = Counter()
        for (stat, digit), status in self.answered.items():
            if 200 <= status < 300:
                least[stat] += 4**digit
        return least


def _right(status: int, times: int) -> bool:
    if 200 <= status < 300:
        return times == 1
    return times == 0 if 400 <= status < 500 else times <= 1


class Load:
    """Senders in the background, each with its own connection, until the block ends."""

    def __init__(self, url: str, key: str, name: str, *, senders: int, dialects: tuple[Send, ...]) -> None:
        self.account = Account()
        self._url = url
        self._key = key
        self._name = name
        self._senders = senders
        self._dialects = dialects
        self._stop = asyncio.Event()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._senders):
                tasks.create_task(self._send(number))

    def stop(self) -> None:
        self._stop.set()

    def _requests(self, number: int) -> Iterator[tuple[str, int]]:
        for run in itertools.count():
            for digit in range(PER_STAT):
                yield f"{self._name}.{number}.{run}", digit

    async def _send(self, number: int) -> None:
        chosen = random.Random(number)
        async with httpx.AsyncClient(base_url=self._url, timeout=20) as client:
            for stat, digit in self._requests(number):
                if self._stop.is_set():
                    return
                began = time.monotonic()
                try:
                    answer = await chosen.choice(self._dialects)(client, self._key, stat, 4.0**digit)
                    status = answer.status_code
                except httpx.HTTPError:
                    status = 0
                    await asyncio.sleep(0.05)  # a process that was killed is not back at once
                else:
                    self.account.waits.append(time.monotonic() - began)
                self.account.answered[stat, digit] = status


@asynccontextmanager
async def loading(
    url: str, key: str, name: str, *, senders: int = 8, dialects: tuple[Send, ...] = DIALECTS
) -> AsyncIterator[Account]:
    """The account of a load that runs while the block does."""
    load = Load(url, key, name, senders=senders, dialects=dialects)
    running = asyncio.create_task(load.run())
    try:
        yield load.account
    finally:
        load.stop()
        await running


async def totals(url: str, key: str, name: str) -> dict[str, int]:
    """What the API says of the load's stats now."""
    found: dict[str, int] = {}
    async with httpx.AsyncClient(base_url=url, timeout=30, headers={"Authorization": f"Bearer {key}"}) as client:
        answer = await client.get("/api/v1/dashboard", params={"range": "1h", "limit": 1000})
        answer.raise_for_status()
        for stat in answer.json()["stats"]:
            if stat["name"].startswith(f"{name}."):
                found[stat["name"]] = int(stat["summary"]["total"] or 0)
    return found


async def settle(url: str, key: str, name: str, account: Account, *, within: float = 60) -> dict[str, int]:
    """The totals once all that was acknowledged is in them; then check each request."""
    deadline = time.monotonic() + within
    assert account.statuses[200] > 50, f"hardly any load: {account.statuses}"
    least = account.acknowledged
    while True:
        try:
            found = await totals(url, key, name)
        except httpx.HTTPError:
            found = {}
        if all(found.get(stat, 0) >= total for stat, total in least.items()):
            account.check(found)
            return found
        if time.monotonic() > deadline:
            account.check(found)
            raise AssertionError("totals are below what was acknowledged")
        await asyncio.sleep(0.1)
