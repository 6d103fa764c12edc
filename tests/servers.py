"""Real Postgres, NATS and Redis for tests.

SERVERS=local takes the wheels' servers, SERVERS=containers those of the images that compose.yaml names, and
SERVERS=auto (or nothing) containers where an engine and the images are there, the wheels' servers elsewhere.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from libs.runtime import children
from libs.runtime.children import Child

TESTS_PASSWORD = "test-password"


class Server(Protocol):
    """A started server, and the faults that can be done to it."""

    @property
    def url(self) -> str: ...

    def start(self) -> None:
        """Start it again, with its data and at its address, and wait until it answers."""
        ...

    def kill(self, sig: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal; wait for its end when that is what the signal is for."""
        ...

    def freeze(self) -> None:
        """Let it hang: connections stay open and nothing is answered."""
        ...

    def thaw(self) -> None: ...


@dataclass
class Servers:
    """The three servers of a test session."""

    postgres: Server
    nats: Server
    redis: Server
    folder: Path

    @property
    def database_url(self) -> str:
        return self.postgres.url

    @property
    def nats_url(self) -> str:
        return self.nats.url

    @property
    def redis_url(self) -> str:
        return self.redis.url


def real_servers(folder: Path) -> AbstractContextManager[Servers]:
    """All three, of the kind that SERVERS asks for, stopped at the end whatever happened."""
    kind = os.environ.get("SERVERS") or "auto"
    if kind not in ("auto", "local", "containers"):
        raise ValueError(f"SERVERS={kind}: it is auto, local or containers")
    if kind != "local":
        from tests import containers

        if kind == "containers" or containers.available():
            return containers.container_servers(folder)
    return local_servers(folder)


def await_answer(name: str, ready: Callable[[], bool], ended: Callable[[], bool], log: Callable[[], str]) -> None:
    """Return once a server is ready; fail with its log when it ended or took 30 seconds."""
    deadline = time.monotonic() + 30
    while not ready():
        if ended() or time.monotonic() > deadline:
            raise RuntimeError(f"{name} did not start:\n{log()[-2000:]}")
        time.sleep(0.05)


ENDING = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)


@dataclass
class Running:
    """A server as a child process; faults are done to it by its pid."""

    child: Child
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return self.child.url

    def start(self) -> None:
        self.process = start(self.child, self.log).process

    def kill(self, sig: signal.Signals = signal.SIGKILL) -> None:
        self.process.send_signal(sig)
        if sig in ENDING:
            self.process.wait(15)

    def freeze(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)  # the signal alone leaves it time for another answer

    def thaw(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)


def start(child: Child, log: Path) -> Running:
    """Start a child and wait until it answers."""
    child.prepare()
    with log.open("ab") as out:
        process = subprocess.Popen(
            child.argv, stdout=out, stderr=out, cwd="/", env={**os.environ, **child.environ}, start_new_session=True
        )
    await_answer(child.name, child.ready, lambda: process.poll() is not None, log.read_text)
    return Running(child, log, process)


@contextmanager
def local_servers(folder: Path) -> Iterator[Servers]:
    """All three from the wheels, stopped at the end whatever happened."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    kids = {
        "postgres": children.postgres(folder, children.free_port(), TESTS_PASSWORD),
        "nats": children.nats(folder, children.free_port(), children.free_port(), TESTS_PASSWORD),
        "redis": children.redis(folder, children.free_port(), TESTS_PASSWORD),
    }
    running: dict[str, Running] = {}
    try:
        for name, child in kids.items():
            running[name] = start(child, folder / f"{name}.log")
        yield Servers(running["postgres"], running["nats"], running["redis"], folder)
    finally:
        for server in running.values():
            if server.process.poll() is None:
                server.process.send_signal(signal.SIGCONT)
                server.process.send_signal(server.child.stop_signal)
        for server in running.values():
            try:
                server.process.wait(10)
            except subprocess.TimeoutExpired:
                server.process.kill()
