"""The performance promises of ingest, beside their peers, as ratios from one run.

    python -m benchmarks.ingest [--seconds 8] [--rounds 3] [--only single,batch,sustained,visible,memory]

Every figure of ours is checked: all acknowledged points must be in the totals.
"""

import argparse
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks import peers
from benchmarks.peers import Load, Peer, wrk
from tests.running import Ezstat, running

STATS = 500
ROWS = 1000
SHAPE = {"stats": STATS, "rows": ROWS}


class Ours:
    """EzStat with everything running, limits on, and a key."""

    def __init__(self, ezstat: Ezstat) -> None:
        self.ezstat = ezstat
        self.person = ezstat.sign_up()
        self.key = self.person.key()
        self.api = ezstat.client(Authorization=f"Bearer {self.key}")
        self.acknowledged = 0
        self.unsure = 0

    def load(self, script: str, connections: int, seconds: int, points: int, **given: object) -> Load:
        """Let wrk send, and remember what it must have left behind: what was answered, and perhaps what was under way
        when wrk stopped."""
        url = f"{self.ezstat.url}/ez"
        load = wrk(url, script, connections=connections, seconds=seconds, key=self.key, **SHAPE, **given)
        if load.failed:
            raise SystemExit(f"{load.failed} of {load.answers} answers were no success")
        self.acknowledged += load.answers * points
        self.unsure += connections * points
        return load

    def count(self, name: str) -> int:
        """Points that the API shows of a stat, in the last hour."""
        answer = self.api.get(f"/api/v1/stats/{name}", params={"range": "1h"})
        return answer.json()["summary"]["n"] if answer.status_code == 200 else 0

    def stored(self) -> int:
        n = 0
        cursor = ""
        while True:
            page = self.api.get("/api/v1/stats", params={"cursor": cursor, "limit": 1000}).json()
            for stat in page["stats"]:
                n += self.count(stat["id"])
            if not (cursor := page["next_cursor"] or ""):
                return n

    def verify(self) -> None:
        """Raises if an acknowledged point is missing, or there are more than were sent."""
        deadline = time.monotonic() + 120
        while (stored := self.stored()) < self.acknowledged:
            if time.monotonic() > deadline:
                raise SystemExit(f"LOST: {self.acknowledged:,} points acknowledged, {stored:,} in the totals")
            time.sleep(0.5)
        if stored > self.acknowledged + self.unsure:
            raise SystemExit(
                f"DOUBLED: at most {self.acknowledged + self.unsure:,} points sent, {stored:,} in the totals"
            )
        print(f"  verified: {self.acknowledged:,} acknowledged, {stored:,} in the totals")


@dataclass(frozen=True)
class Contest:
    """One load in two dialects: `ours` and `theirs` are scripts of `benchmarks/load/`."""

    what: str
    ours: str
    theirs: str
    connections: int
    points: int


def compare(contest: Contest, ours: Ours, others: list[Peer], seconds: int, rounds: int) -> None:
    """Rounds in turn, so that the machine's moods hit all alike; prints medians and ratios."""
    rates: dict[str, list[float]] = {"ezstat": [], **{peer.name: [] for peer in others}}
    for _ in range(rounds):
        for peer in others:
            load = wrk(peer.url, contest.theirs, connections=contest.connections, seconds=seconds, **SHAPE)
            rates[peer.name].append(load.rate * contest.points)
        load = ours.load(contest.ours, contest.connections, seconds, contest.points)
        rates["ezstat"].append(load.rate * contest.points)
        ours.verify()
    median = {name: statistics.median(values) for name, values in rates.items()}
    print(f"{contest.what}: ezstat {median['ezstat']:,.0f}/s")
    for peer in others:
        print(f"  {median['ezstat'] / median[peer.name]:.2f} x {peer.name} ({median[peer.name]:,.0f}/s)")


def sustained(ours: Ours, seconds: int) -> None:
    """Single points as fast as they go; does the writer keep up?"""
    load = ours.load("forms", 128, seconds, 1)
    began = time.monotonic()
    ours.verify()
    late = time.monotonic() - began
    print(f"sustained {seconds} s: {load.rate:,.0f} points/s acknowledged, all projected {late:.1f} s after the end")


def visible(ours: Ours, rate: int, probes: int) -> None:
    """Acknowledgement -> visible in the API, while wrk keeps about `rate` points/s coming."""
    with ThreadPoolExecutor(1) as thread:
        loading = thread.submit(ours.load, "forms", 64, probes // 10 + 2, 1, delay=64_000 // rate)
        took = sorted(_probe(ours, i) for i in range(probes))
    load = loading.result()
    ours.acknowledged += probes
    p99 = took[int(len(took) * 0.99)]
    print(
        f"acknowledged -> visible at {load.rate:,.0f} points/s: median {took[len(took) // 2]:.0f} ms, p99 {p99:.0f} ms"
    )


def _probe(ours: Ours, number: int) -> float:
    """Milliseconds from the acknowledgement of a point to its being in an answer."""
    name = f"probe.{number % 20}"
    before = ours.count(name)
    ours.api.post(f"/api/v1/stats/{name}/count", json={"count": 1}).raise_for_status()
    began = time.perf_counter()
    while ours.count(name) == before:
        pass
    took = (time.perf_counter() - began) * 1000
    time.sleep(max(0.0, 0.1 - took / 1000))
    return took


def memory(ezstat: Ezstat) -> None:
    """Proportional set size of every process of an idle installation."""
    total = 0
    for name, row in sorted(ezstat.components().items()):
        if row["pid"] is None:
            continue
        process = psutil.Process(row["pid"])
        family = [process, *(process.children(recursive=True) if name == "postgres" else [])]
        size = sum(member.memory_full_info().pss for member in family)
        total += size
        print(f"  {name}: {size / 2**20:.0f} MB")
    print(f"memory of the whole idle system: {total / 2**20:.0f} MB")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=int, default=8)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--only", default="memory,single,batch,sustained,visible")
    given = arguments.parse_args()
    wanted = set(given.only.split(","))
    settings = {"EZSTAT_WRITE_RATE": "10000000", "EZSTAT_WRITE_BURST": "10000000", "EZSTAT_READ_RATE": "1000000"}
    with tempfile.TemporaryDirectory() as folder, running(Path(folder) / "data", **settings) as ezstat:
        if "memory" in wanted:
            memory(ezstat)
        with peers.influxdb() as influx, peers.victoria_metrics() as victoria:
            measure(Ours(ezstat), [influx, victoria], wanted, given.seconds, given.rounds)


CONTESTS = {
    "single": [
        Contest(f"single points, {connections} connections, {STATS} stats", "forms", "lines", connections, 1)
        for connections in (64, 256)
    ],
    "batch": [Contest(f"JSON batches of {ROWS}, {STATS} stats, points", "json_batches", "line_batches", 16, ROWS)],
}


def measure(ours: Ours, others: list[Peer], wanted: set[str], seconds: int, rounds: int) -> None:
    ours.load("forms", 8, 2, 1)  # names are registered, caches warm
    for name, contests in CONTESTS.items():
        for contest in contests if name in wanted else []:
            compare(contest, ours, others, seconds, rounds)
    if "sustained" in wanted:
        sustained(ours, 60)
    if "visible" in wanted:
        visible(ours, 12_000, 200)


if __name__ == "__main__":
    main()
