"""`ezstat up`: everything on this machine; and `ezstat serve --workers`: several processes for HTTP alone."""

import asyncio
import json
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace

from libs.bus.connect import Bus
from libs.runtime.folder import Component, DataFolder
from libs.runtime.keeper import StartFailed, end_leftovers
from libs.runtime.probes import http_status
from libs.runtime.programs import (
    COMMAND,
    http_programs,
    listen,
    our_environment,
    private_servers,
    reachable,
    work_program,
)
from libs.runtime.rings import DeadRings
from libs.runtime.settings import Settings
from libs.runtime.supervisor import supervising


async def up(settings: Settings, say: Callable[[str], None]) -> None:
    """Everything on this machine: private servers where none are named, then `work` and `serve`, until told to stop.

    `say` prints for the operator. Raises `FolderInUse`, `PortInUse`, `StartFailed` (perhaps in a group).
    """
    folder = DataFolder(settings.data)
    with folder.locked():
        listener = listen(settings.host, settings.port)
        previous = folder.read().components
        await asyncio.to_thread(end_leftovers, previous)
        secret = settings.secret or folder.secret(make=True)
        port = listener.getsockname()[1]
        settings = replace(settings, data=folder.path, secret=secret, port=port)
        settings, servers = private_servers(settings)
        private = {server.name for server in servers}
        urls = {name: url for name, url in _urls(settings).items() if name in private} | {"http": settings.url}
        async with supervising(folder, urls) as supervisor:
            await supervisor.start(servers)
            welcome = await _migrate(settings)
            await supervisor.start([work_program(settings), *http_programs(settings, listener)])
            supervisor.announce(_dead_rings(settings, previous))
            await _wait_until_ready(listener, say)
            say(_greeting(settings, welcome))
            await asyncio.Event().wait()


async def serve_workers(settings: Settings, services: Sequence[str], workers: int) -> None:
    """`workers` HTTP processes on one socket, kept alive, until told to stop."""
    listener = listen(settings.host, settings.port)
    settings = replace(settings, http_workers=workers, port=listener.getsockname()[1])
    async with supervising() as supervisor:
        await supervisor.start(http_programs(settings, listener, services))
        supervisor.announce(_dead_rings(settings, []))
        await asyncio.Event().wait()


def _urls(settings: Settings) -> dict[str, str]:
    return {"postgres": settings.database_url, "nats": settings.nats_url, "redis": settings.redis_url}


async def _migrate(settings: Settings) -> dict[str, str]:
    """Brings the database up to date in a process of its own, which may be as large as it needs. Answers `Welcome`."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "migrate",
        "--json",
        env=our_environment(settings),
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        raise StartFailed("the database could not be brought up to date")
    welcome: dict[str, str] = json.loads(output)
    return welcome


def _dead_rings(settings: Settings, previous: Sequence[Component]) -> DeadRings:
    rings = DeadRings(Bus.start(settings.nats_url, "supervisor"))
    for component in previous:
        if component.role == "http" and component.pid is not None:
            rings.died(component.pid)
    return rings


async def _wait_until_ready(listener: socket.socket, say: Callable[[str], None]) -> None:
    host, port = reachable(listener)
    for _ in range(150):
        if await asyncio.to_thread(http_status, host, port, "/readyz") == 200:
            return
        await asyncio.sleep(0.1)
    say(f"EzStat answers, but is not ready yet: http://{host}:{port}/readyz says what it waits for.")


def _greeting(settings: Settings, welcome: dict[str, str]) -> str:
    lines = [f"EzStat runs at {settings.url}"]
    if welcome.get("url"):
        lines += ["Set it up (this link works once):", f"  {welcome['url']}"]
    if welcome.get("curl"):
        lines += ["Send a first point:", f"  {welcome['curl']}"]
    return "\n".join([*lines, f"Its data is in {settings.data}. Stop it with Ctrl-C."])
