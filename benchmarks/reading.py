"""Reading a month of one stat, with a million points stored and with fifty million: p99 and their ratio.

python -m benchmarks.reading [--millions 50]
"""

import argparse
import tempfile
import time
from pathlib import Path
from uuid import UUID

import httpx
import numpy as np
import psycopg

from libs.bus.data import Received
from libs.contracts.ingest import Frame, Source, encode_frame
from libs.eventstore.database import connect
from libs.runtime.clock import uuid7
from services.ingest.writer import Writer
from tests.running import Ezstat, Person, running

STATS = 500
FRAME_POINTS = 10_000
FRAMES_AT_ONCE = 20
MONTH = 30 * 86_400
READS = 1000


class Filling:
    """Points of the last 30 days for 500 stats, in the order of time, through the writer itself."""

    def __init__(self, ezstat: Ezstat, person: Person) -> None:
        self._dsn = ezstat.urls["postgres"]
        account = UUID(person.client.get("/api/v1/auth/me").json()["account"]["id"])
        self.names = [f"filled.{i}" for i in range(STATS)]
        self._sources = []
        for name in self.names:
            made = person.client.post("/api/v1/stats", json={"name": name, "type": "counter"})
            stat = UUID(made.json()["id"])
            self._sources.append(Source(account, "live", stat, name, "counter", None))
        self._epoch = uuid7()
        self._seq = 0
        self._random = np.random.default_rng(1)

    def add(self, points: int) -> None:
        """Store so many points, spread evenly over the month until now."""
        with connect(self._dsn) as connection:
            writer = Writer(0, _registered)
            frames = points // FRAME_POINTS
            start = time.time() - MONTH
            for first in range(0, frames, FRAMES_AT_ONCE):
                chosen = range(first, min(first + FRAMES_AT_ONCE, frames))
                batch = [self._frame(start + MONTH * i / frames, MONTH / frames) for i in chosen]
                with connection.transaction(), connection.cursor() as cursor:
                    writer.apply(cursor, batch)
        with psycopg.connect(self._dsn, autocommit=True) as owner:
            owner.execute("vacuum analyze")

    def _frame(self, start: float, length: float) -> Received:
        self._seq += 1
        times = ((start + self._random.random(FRAME_POINTS) * length) * 1e6).astype("<i8")
        frame = Frame(
            1, self._epoch, self._seq, int(time.time() * 1e6), True, self._sources,
            self._random.integers(0, STATS, FRAME_POINTS).astype("<u2").tobytes(),
            times.tobytes(), np.ones(FRAME_POINTS, "<f8").tobytes(), [],
        )  # fmt: skip
        return Received(frame, encode_frame(frame), self._seq)


def _registered(stat: object) -> None:
    raise AssertionError("every stat of this benchmark is registered")


def p99(api: httpx.Client, names: list[str]) -> float:
    """Milliseconds within which 99 of 100 answers came, after some to warm up."""
    took = []
    for i in range(READS + 100):
        began = time.perf_counter()
        answer = api.get(f"/api/v1/stats/{names[i * 7 % len(names)]}", params={"range": "30d"})
        took.append((time.perf_counter() - began) * 1000)
        if answer.status_code != 200 or len(answer.json()["points"]) < 600:
            raise SystemExit(f"not a month of points: {answer.status_code} {answer.text[:200]}")
    kept = sorted(took[100:])
    print(f"  median {kept[len(kept) // 2]:.1f} ms, p99 {kept[int(len(kept) * 0.99)]:.1f} ms")
    return kept[int(len(kept) * 0.99)]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--millions", type=int, default=50)
    millions = arguments.parse_args().millions
    with tempfile.TemporaryDirectory() as folder, running(Path(folder) / "data", EZSTAT_RATE_LIMITS="off") as ezstat:
        person = ezstat.sign_up()
        filling = Filling(ezstat, person)
        with person.api() as api:
            filling.add(1_000_000)
            print("GET /api/v1/stats/:name?range=30d with 1 million points stored")
            few = p99(api, filling.names)
            began = time.monotonic()
            filling.add((millions - 1) * 1_000_000)
            print(f"  ({millions - 1} million more through the writer: {time.monotonic() - began:.0f} s)")
            print(f"the same with {millions} million")
            many = p99(api, filling.names)
        print(f"p99 with {millions} million points: {many / few:.2f} x that with 1 million")


if __name__ == "__main__":
    main()
