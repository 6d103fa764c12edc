"""The servers that ingest is measured beside, from Debian: InfluxDB and VictoriaMetrics; and the load, from wrk."""

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
            f'[meta]\ndir = "{folder}/meta"\n[data]\ndir = "{folder}/data"\nwal-dir = "{folder}/wal"\nquery-log-enabled = false\n'
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


def wrk(url: str, script: str, *, connections: int, seconds: int) -> Load:
    """One thread of wrk with a Lua script."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        argv = [program("wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s", "-s", file.name, url]
        out = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    found = re.search(r"(\d+) requests in ([\d.]+)(m?s|m)", out)
    if found is None:
        raise RuntimeError(out)
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    scale = {"ms": 0.001, "s": 1.0, "m": 60.0}[found[3]]
    return Load(int(found[1]), int(failed[1]) if failed else 0, float(found[2]) * scale)


def forms(key: str, stats: int) -> str:
    """A Lua script that counts 1 in stat after stat, as StatHat's clients do."""
    return (
        f"local bodies = {{}}\nfor i = 0, {stats - 1} do\n"
        f'  local body = "ezkey={key}&stat=requests." .. i .. "&count=1"\n'
        '  bodies[i] = wrk.format("POST", nil, {["Content-Type"]="application/x-www-form-urlencoded"}, body)\nend\n'
        f"local i = 0\nrequest = function() i = (i + 1) % {stats}; return bodies[i] end\n"
    )


def lines(stats: int) -> str:
    """The same as InfluxDB lines."""
    return (
        f"local bodies = {{}}\nfor i = 0, {stats - 1} do\n"
        '  bodies[i] = wrk.format("POST", nil, {}, "requests,stat=" .. i .. " count=1")\nend\n'
        f"local i = 0\nrequest = function() i = (i + 1) % {stats}; return bodies[i] end\n"
    )


def json_batches(key: str, stats: int, rows: int) -> str:
    """JSON batches on /ez."""
    return (
        f'local parts = {{}}\nfor i = 1, {rows} do parts[i] = \'{{"stat":"requests.\' .. (i % {stats}) .. \'","count":1}}\' end\n'
        f'local body = \'{{"ezkey":"{key}","data":[\' .. table.concat(parts, ",") .. "]}}"\n'
        'local whole = wrk.format("POST", nil, {["Content-Type"]="application/json"}, body)\n'
        "request = function() return whole end\n"
    ).replace('"]}}"', '"]}"')


def line_batches(stats: int, rows: int) -> str:
    """The same as InfluxDB lines, each with a time of its own (points of one time would overwrite each other)."""
    return (
        f"local n = 0\nrequest = function()\n  local parts = {{}}\n  for i = 1, {rows} do\n    n = n + 1\n"
        f'    parts[i] = "requests,stat=" .. (i % {stats}) .. " count=1 " .. string.format("%d", 1700000000000000000 + n)\n  end\n'
        '  return wrk.format("POST", nil, {}, table.concat(parts, "\\n"))\nend\n'
    )
