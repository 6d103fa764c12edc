"""The performance promises of ingest, beside their peers, as ratios from one run.

    python -m benchmarks.ingest [--seconds 8] [--rounds 3] [--only single,batch,sustained,visible,memory]

Every figure of ours is checked: all acknowledged points must be in the totals.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from benchmarks import peers
from benchmarks.peers import Load, Peer, wrk
from tests.running import Ezstat, running

STATS = 500
ROWS = 1000


class Ours:
    """EzStat with everything running, limits on, and a key."""

    def __init__(self, ezstat: Ezstat) -> None:
        self.ezstat = ezstat
        self.person = ezstat.sign_up()
        self.key = self.person.key()
        self.api = ezstat.client(Authorization=f"Bearer {self.key}")
        self.acknowledged = 0
        self.unsure = 0

    def took(self, load: Load, connections: int, points: int) -> None:
        """What a load must have left behind: its answers, and perhaps what was under way when wrk stopped."""
        self.acknowledged += (load.answers - load.failed) * points
        self.unsure += connections * points

    def stored(self) -> int:
        n = 0
        cursor = ""
        while True:
            page = self.api.get("/api/v1/stats", params={"cursor": cursor, "limit": 1000}).json()
            for stat in page["stats"]:
                answer = self.api.get(f"/api/v1/stats/{stat['id']}", params={"range": "1h"})
                n += answer.json()["summary"]["n"]
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


def compare(
    what: str,
    ours: Ours,
    others: list[Peer],
    script: str,
    theirs: str,
    *,
    connections: int,
    seconds: int,
    rounds: int,
    points: int,
) -> None:
    """Rounds in turn, so that the machine's moods hit all alike; prints medians and ratios."""
    rates: dict[str, list[float]] = {"ezstat": [], **{peer.name: [] for peer in others}}
    for _ in range(rounds):
        for peer in others:
            rates[peer.name].append(wrk(peer.url, theirs, connections=connections, seconds=seconds).rate * points)
        load = wrk(f"{ours.ezstat.url}/ez", script, connections=connections, seconds=seconds)
        if load.failed:
            raise SystemExit(f"{load.failed} of {load.answers} answers were no success")
        ours.took(load, connections, points)
        rates["ezstat"].append(load.rate * points)
        ours.verify()
    median = {name: statistics.median(values) for name, values in rates.items()}
    print(f"{what}: ezstat {median['ezstat']:,.0f}/s")
    for peer in others:
        print(f"  {median['ezstat'] / median[peer.name]:.2f} x {peer.name} ({median[peer.name]:,.0f}/s)")


def sustained(ours: Ours, seconds: int) -> None:
    """Single points as fast as they go; does the writer keep up?"""
    load = wrk(f"{ours.ezstat.url}/ez", peers.forms(ours.key, STATS), connections=128, seconds=seconds)
    ours.took(load, 128, 1)
    began = time.monotonic()
    ours.verify()
    print(
        f"sustained {seconds} s: {load.rate:,.0f} points/s acknowledged, caught up {time.monotonic() - began:.1f} s after"
    )


def visible(ours: Ours, rate: int, probes: int) -> None:
    """Acknowledgement -> visible in the API, while wrk keeps about half load."""
    script = peers.forms(ours.key, STATS) + f"\ndelay = function() return {64_000 // rate} end\n"
    import threading

    result: list[Load] = []
    seconds = probes // 10 + 2
    loader = threading.Thread(
        target=lambda: result.append(wrk(f"{ours.ezstat.url}/ez", script, connections=64, seconds=seconds))
    )
    loader.start()
    took: list[float] = []
    for i in range(probes):
        name = f"probe.{time.time_ns()}"
        ours.api.post(f"/api/v1/stats/{name}/count", json={"count": 1}).raise_for_status()
        began = time.perf_counter()
        while True:
            answer = ours.api.get(f"/api/v1/stats/{name}", params={"range": "1h"})
            if answer.status_code == 200 and answer.json()["summary"]["n"]:
                break
        took.append((time.perf_counter() - began) * 1000)
        ours.acknowledged += 1
        time.sleep(max(0.0, 0.1 - took[-1] / 1000))
        if not i:
            took.clear()
    loader.join()
    ours.took(result[0], 64, 1)
    took.sort()
    print(
        f"acknowledged -> visible at {result[0].rate:,.0f} points/s: median {took[len(took) // 2]:.0f} ms,"
        f" p99 {took[int(len(took) * 0.99)]:.0f} ms"
    )


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
            measure(Ours(ezstat), influx, victoria, wanted, given.seconds, given.rounds)


def measure(ours: Ours, influx: Peer, victoria: Peer, wanted: set[str], seconds: int, rounds: int) -> None:
    wrk(
        f"{ours.ezstat.url}/ez", peers.forms(ours.key, STATS), connections=8, seconds=2
    )  # names registered, caches warm
    ours.acknowledged = ours.stored()
    steps: dict[str, Callable[[], None]] = {
        "single": lambda: [
            compare(
                f"single points, {connections} connections, {STATS} stats", ours, [influx, victoria],
                peers.forms(ours.key, STATS), peers.lines(STATS),
                connections=connections, seconds=seconds, rounds=rounds, points=1,
            )
            for connections in (64, 256)
        ],
        "batch": lambda: compare(
            f"JSON batches of {ROWS}, {STATS} stats, points", ours, [influx, victoria],
            peers.json_batches(ours.key, STATS, ROWS), peers.line_batches(STATS, ROWS),
            connections=16, seconds=seconds, rounds=rounds, points=ROWS,
        ),
        "sustained": lambda: sustained(ours, 60),
        "visible": lambda: visible(ours, 12_000, 200),
    }  # fmt: skip
    for name, step in steps.items():
        if name in wanted:
            step()


if __name__ == "__main__":
    main()
