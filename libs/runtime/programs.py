"""Which programs a run is made of: private servers, `work`, and `serve` on one listening socket."""

import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from libs.runtime import children
from libs.runtime.children import Child
from libs.runtime.errors import CannotRun
from libs.runtime.keeper import Program
from libs.runtime.probes import http_status
from libs.runtime.settings import Settings, environment
from libs.runtime.supervisor import SERVER

COMMAND = (sys.executable, "-P", "-m", "libs.runtime.cli")
_BACKLOG = 2048
_LOG_BYTES = 10 << 20


class PortInUse(CannotRun):
    """HTTP can't listen where it should; the message says what to change."""


def listen(host: str, port: int) -> socket.socket:
    """The listening socket. It outlives the processes that answer on it: what arrives while one is started again waits
    in its queue. Raises `PortInUse`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise PortInUse(
            f"can't listen on {host}:{port}: {error.strerror}; choose another with PORT and EZSTAT_HOST"
        ) from None
    listener.listen(_BACKLOG)
    return listener


def private_servers(settings: Settings) -> tuple[Settings, list[Program]]:
    """The settings with an address for every server, and a program for each that the environment does not name."""
    folder, servers = settings.data, []
    if not settings.database_url:
        child = children.postgres(folder, children.free_port(), settings.derive_text("postgres"))
        settings = replace(settings, database_url=child.url)
        servers.append(_server_program(child, folder))
    if not settings.nats_url:
        child = children.nats(folder, children.free_port(), children.free_port(), settings.derive_text("nats"))
        settings = replace(settings, nats_url=child.url)
        servers.append(_server_program(child, folder))
    if not settings.redis_url:
        child = children.redis(folder, children.free_port(), settings.derive_text("redis"))
        settings = replace(settings, redis_url=child.url)
        servers.append(_server_program(child, folder))
    return settings, servers


def _server_program(child: Child, folder: Path) -> Program:
    logs = folder / "logs"
    logs.mkdir(exist_ok=True)
    log = logs / f"{child.name}.log"
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.rename(log.with_suffix(".log.old"))
    environ = {"PATH": os.defpath, **child.environ}
    return Program(
        child.name, SERVER, child.argv, environ, child.stop_signal, child.prepare, child.ready, child.sick, log, cwd="/"
    )


def our_environment(settings: Settings) -> dict[str, str]:
    # Few malloc arenas: processes with threads would otherwise keep tens of megabytes that they freed.
    return {"MALLOC_ARENA_MAX": "2", **os.environ, **environment(settings)}


def work_program(settings: Settings) -> Program:
    return Program("work-1", "work", (*COMMAND, "work", "--name", "work-1"), our_environment(settings))


def http_programs(settings: Settings, listener: socket.socket, services: Sequence[str] = ()) -> list[Program]:
    """HTTP processes that answer on one listening socket."""
    descriptor, host, port = listener.fileno(), *reachable(listener)
    return [
        Program(
            name := f"http-{number}",
            "http",
            (*COMMAND, "serve", *services, "--name", name, "--fd", str(descriptor)),
            our_environment(settings),
            ready=lambda: http_status(host, port, "/livez") != 0,
            pass_fds=(descriptor,),
        )
        for number in range(1, settings.http_workers + 1)
    ]


def reachable(listener: socket.socket) -> tuple[str, int]:
    host, port = listener.getsockname()[:2]
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port  # noqa: S104
