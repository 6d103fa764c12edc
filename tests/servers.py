"""Real Postgres, NATS and Redis for tests: the wheels' servers, started once for a session."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from libs.runtime import children
from libs.runtime.children import Child


@dataclass
class Running:
    """A started child; faults are done to it by its pid."""

    child: Child
    log: Path
    process: subprocess.Popen[bytes]

    def start(self) -> None:
        """Start (again) and wait until it answers."""
        self.process = start(self.child, self.log).process

    def kill(self, sig: signal.Signals = signal.SIGKILL) -> None:
        self.process.send_signal(sig)
        if sig in (signal.SIGKILL, signal.SIGINT, signal.SIGTERM):
            self.process.wait(15)

    def freeze(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)


def start(child: Child, log: Path) -> Running:
    child.prepare()
    with log.open("ab") as out:
        process = subprocess.Popen(
            child.argv, stdout=out, stderr=out, cwd="/", env={**os.environ, **child.environ}, start_new_session=True
        )
    deadline = time.monotonic() + 20
    while not child.ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{child.name} did not start:\n{log.read_text()[-2000:]}")
        time.sleep(0.05)
    return Running(child, log, process)


@dataclass
class Servers:
    """The three servers of a test session."""

    postgres: Running
    nats: Running
    redis: Running
    folder: Path

    @property
    def database_url(self) -> str:
        return self.postgres.child.url

    @property
    def nats_url(self) -> str:
        return self.nats.child.url

    @property
    def redis_url(self) -> str:
        return self.redis.child.url


@contextmanager
def local_servers(folder: Path) -> Iterator[Servers]:
    """All three, stopped at the end whatever happened."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    kids = {
        "postgres": children.postgres(folder, children.free_port(), "test-password"),
        "nats": children.nats(folder, children.free_port(), children.free_port(), "test-password"),
        "redis": children.redis(folder, children.free_port(), "test-password"),
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
