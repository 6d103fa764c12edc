"""The servers that ingest is measured beside, from Debian: InfluxDB and VictoriaMetrics; and the load, from wrk."""

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from libs.runtime.children import free_port


class Missing(RuntimeError):
    """A program that the benchmark needs is not installed."""


def program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise Missing(f"{name} is not installed: apt-get install wrk influxdb victoria-metrics")
    return path


@dataclass(frozen=True)
class Peer:
    """A running server that takes InfluxDB lines at `url`."""

    name: str
    url: str


@contextmanager
def influxdb() -> Iterator[Peer]:
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        configuration = Path(folder) / "influxdb.conf"
        configuration.write_text(
            f'reporting-disabled = true\nbind-address = "127.0.0.1:{free_port()}"\n'
            f'[meta]\ndir = "{folder}/meta"\n[data]\ndir = "{folder}/data"\nwal-dir = "{folder}/wal"\n'
            "query-log-enabled = false\n"
            f'[http]\nbind-address = "127.0.0.1:{port}"\nlog-enabled = false\n[monitor]\nstore-enabled = false\n'
        )
        with _running([program("influxd"), "-config", str(configuration)], f"http://127.0.0.1:{port}/ping"):
            httpx.post(f"http://127.0.0.1:{port}/query", params={"q": "create database bench"}).raise_for_status()
            yield Peer("influxdb", f"http://127.0.0.1:{port}/write?db=bench")


@contextmanager
def victoria_metrics() -> Iterator[Peer]:
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        argv = [program("victoria-metrics"), f"-storageDataPath={folder}/data", f"-httpListenAddr=127.0.0.1:{port}"]
        with _running(argv, f"http://127.0.0.1:{port}/health"):
            yield Peer("victoriametrics", f"http://127.0.0.1:{port}/write")


@contextmanager
def _running(argv: list[str], ready: str) -> Iterator[None]:
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                if httpx.get(ready, timeout=1).status_code < 300:
                    break
            except httpx.HTTPError:
                time.sleep(0.1)
        else:
            raise RuntimeError(f"{argv[0]} does not answer")
        yield
    finally:
        process.terminate()
        process.wait(20)


@dataclass(frozen=True)
class Load:
    """What wrk saw: whole answers, those that were no success, and seconds."""

    answers: int
    failed: int
    seconds: float

    @property
    def rate(self) -> float:
        return (self.answers - self.failed) / self.seconds


def wrk(url: str, script: str, *, connections: int, seconds: int, **given: object) -> Load:
    """One thread of wrk with a script of `benchmarks/load/`, which reads `given` from its environment."""
    file = Path(__file__).with_name("load") / f"{script}.lua"
    argv = [program("wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s", "-s", str(file), url]
    environ = {**os.environ, **{name.upper(): str(value) for name, value in given.items()}}
    out = subprocess.run(argv, check=True, capture_output=True, text=True, env=environ).stdout
    found = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m)", out)
    if found is None:
        raise RuntimeError(out)
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    scale = {"ms": 0.001, "s": 1.0, "m": 60.0}[found[3]]
    return Load(int(found[1]), int(failed[1]) if failed else 0, float(found[2]) * scale)
