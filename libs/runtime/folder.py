"""The data folder of a run: its lock, its root secret, and what runs in it for `ezstat ps`."""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from libs.runtime.errors import CannotRun


class FolderInUse(CannotRun):
    """Another run has this data folder; the message says which and what to do."""


@dataclass
class Component:
    """One process of a run. `pid` is None while it is being started again; `since` is Unix seconds of the last start,
    `started` the kernel's start time of that pid, which tells it from a later process with the same number."""

    name: str
    role: str
    pid: int | None = None
    since: float = 0.0
    restarts: int = 0
    started: float = 0.0

    def public(self) -> dict[str, object]:
        """A row of `ezstat ps --json`."""
        since = datetime.fromtimestamp(self.since, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"name": self.name, "pid": self.pid, "role": self.role, "since": since, "restarts": self.restarts}


@dataclass
class State:
    """What `state.json` holds: processes, and the addresses of the private servers (secret: they hold passwords)."""

    components: list[Component] = field(default_factory=list)
    urls: dict[str, str] = field(default_factory=dict)


class DataFolder:
    """`EZSTAT_DATA`, made when missing. Others may pass through it (Postgres under root must) but not look into it."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._state = self.path / "state.json"

    def make(self) -> None:
        if not self.path.exists():
            self.path.mkdir(parents=True)
            self.path.chmod(0o711 if os.geteuid() == 0 else 0o700)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """This run alone has the folder; ends with the process, however that ends. Raises `FolderInUse`."""
        self.make()
        with (self.path / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise FolderInUse(
                    f"EzStat already runs in {self.path} (process {lock.read().strip() or 'unknown'}): stop it, "
                    "or choose another folder with EZSTAT_DATA and another PORT"
                ) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    def is_running(self) -> bool:
        try:
            with (self.path / "lock").open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def secret(self, *, make: bool = False) -> str:
        """The root secret kept here; "" when there is none and none shall be made."""
        kept = self.path / "secret"
        if make and not kept.exists():
            self.make()
            _write_private(kept, secrets.token_urlsafe(32))
        return kept.read_text().strip() if kept.exists() else ""

    def write(self, components: Sequence[Component], urls: dict[str, str]) -> None:
        text = json.dumps({"components": [asdict(component) for component in components], "urls": urls})
        _write_private(self._state, text)

    def read(self) -> State:
        """What was last written; empty when nothing was."""
        try:
            kept = json.loads(self._state.read_text())
        except FileNotFoundError:
            return State()
        return State([Component(**component) for component in kept["components"]], kept["urls"])


def _write_private(path: Path, text: str) -> None:
    """The whole text or the old one, readable only by us, whatever happens meanwhile."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    new.rename(path)
