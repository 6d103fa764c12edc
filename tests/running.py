"""A whole EzStat as its users run it: `ezstat up` as a process of its own, with its own data folder."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from libs.runtime.children import free_port
from libs.runtime.folder import DataFolder

START_WITHIN = 40.0


class Ezstat:
    """One running installation. `environ` are its settings beside port and folder."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder.with_suffix(".log")
        self.environ = {**os.environ, "PORT": str(self.port), "EZSTAT_DATA": str(folder), **environ}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "libs.runtime.cli", "up"], env=self.environ, stdout=out, stderr=out
            )
        deadline = time.monotonic() + START_WITHIN
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"ezstat did not start:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.1)

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=1).status_code == 200
        except httpx.HTTPError:
            return False

    def stop(self, within: float = 15) -> int:
        """SIGTERM; returns the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(within)
        finally:
            self._end_all()

    def _end_all(self) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            for child in psutil.Process(self._process.pid).children(recursive=True):
                child.kill()
            self._process.kill()

    def command(self, *words: str) -> str:
        """What `ezstat <words>` prints."""
        return subprocess.run(
            [sys.executable, "-m", "libs.runtime.cli", *words],
            env=self.environ, check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip

    def components(self) -> dict[str, dict[str, Any]]:
        """`ezstat ps --json` by name."""
        return {row["name"]: row for row in json.loads(self.command("ps", "--json"))}

    @property
    def urls(self) -> dict[str, str]:
        """Addresses of the private servers, with passwords."""
        return DataFolder(self.folder).read().urls

    def kill(self, name: str, sig: signal.Signals = signal.SIGKILL) -> None:
        """Do something to a component; the supervisor starts it again."""
        os.kill(self.components()[name]["pid"], sig)

    def logged(self, since: int = 0) -> str:
        """What it has logged, from a size of the log on."""
        return self.log.read_bytes()[since:].decode(errors="replace")

    def client(self, **headers: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=headers, timeout=30)

    def sign_up(self) -> "Person":
        """A new person with an account of their own."""
        email = f"{secrets.token_hex(6)}@example.com"
        client = httpx.Client(base_url=self.url, timeout=30)
        answer = client.post("/api/v1/auth/signup", json={"email": email, "password": "correct horse battery"})
        answer.raise_for_status()
        return Person(self, email, client)


class Person:
    """Somebody who is signed in."""

    def __init__(self, ezstat: Ezstat, email: str, client: httpx.Client) -> None:
        self.ezstat = ezstat
        self.email = email
        self.client = client

    def key(self, **wanted: Any) -> str:
        """A new API key."""
        answer = self.client.post("/api/v1/auth/api-keys", json={"name": "test", **wanted})
        answer.raise_for_status()
        key: str = answer.json()["key"]
        return key

    def api(self, **wanted: Any) -> httpx.Client:
        """A client that presents a new key of this person."""
        return self.ezstat.client(Authorization=f"Bearer {self.key(**wanted)}")


@contextmanager
def running(folder: Path, **environ: str) -> Iterator[Ezstat]:
    """Start, and stop at the end whatever happened."""
    ezstat = Ezstat(folder, environ)
    try:
        ezstat.start()
        yield ezstat
    finally:
        ezstat.stop()
