"""The two roles of an OS process: `http` answers requests, `work` runs followers and tasks, each for some services."""

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from libs.bus.connect import Bus
from libs.bus.errors import BusUnavailable
from libs.http.app import make_app
from libs.http.server import run
from libs.runtime.gateway import dispatch, merge_hot
from libs.runtime.openapi import document
from libs.runtime.process import Process, open_process
from libs.runtime.programs import listen
from libs.runtime.service import HttpSide, Service
from libs.runtime.settings import Settings
from libs.runtime.tasks import background_tasks

logger = logging.getLogger(__name__)
_ABLE_WITHIN = 3.0


@asynccontextmanager
async def running(process: Process) -> AsyncIterator[AsyncExitStack]:
    """The stack that services are entered on, while `process.tasks` is open. They leave first, then tasks that still
    run are cancelled."""
    async with background_tasks() as tasks:
        process.tasks = tasks
        async with AsyncExitStack() as stack:
            yield stack


def stop_signals() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set, in the running loop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sig in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sig, stop.set)
    return stop


def keep_what_is_loaded() -> None:
    """Modules and routes live for ever: the garbage collector need not walk through them again."""
    gc.collect()
    gc.freeze()


async def _enter(services: Sequence[Service], process: Process, stack: AsyncExitStack) -> dict[str, HttpSide]:
    sides: dict[str, HttpSide] = {}
    for service in services:
        if service.http is not None:
            sides[service.name] = await stack.enter_async_context(service.http(process))
    return sides


async def describe(settings: Settings, services: Sequence[Service]) -> bytes:
    """The OpenAPI document of these services. Needs no server: they are entered, but nothing is asked of them."""
    async with open_process(settings, "http", "openapi") as process, running(process) as stack:
        sides = await _enter(services, process, stack)
        return document({name: side.app for name, side in sides.items()})


async def serve(settings: Settings, services: Sequence[Service], listener: socket.socket, name: str) -> None:
    """Answer HTTP on `listener` for these services until SIGTERM, then drain."""
    stop = stop_signals()
    async with open_process(settings, "http", name) as process, running(process) as stack:
        process.stopping = stop
        sides = await _enter(services, process, stack)
        process.api = dispatch(services, sides)
        await _until_able_to_ask(process.bus)
        keep_what_is_loaded()
        await run(
            process.api,
            merge_hot(sides),
            listener=listener,
            stop=stop,
            settings=settings,
            metrics=process.metrics,
        )


async def _until_able_to_ask(bus: Bus) -> None:
    """A process beside others takes no request before it can ask for keys; without NATS it starts anyway."""
    try:
        await bus.wait(_ABLE_WITHIN)
    except BusUnavailable:
        logger.warning("NATS is away: answering what can be answered without it")


async def _probes(process: Process, stop: asyncio.Event) -> None:
    """`/livez`, `/readyz` and `/metrics` of a process that has no other business with HTTP."""
    settings = process.settings
    listener = listen(settings.host, settings.work_port)
    await run(
        make_app("work", process, []), {}, listener=listener, stop=stop, settings=settings, metrics=process.metrics
    )


async def work(settings: Settings, services: Sequence[Service], name: str) -> None:
    """Run followers and tasks of these services until SIGTERM."""
    stop = stop_signals()
    async with open_process(settings, "work", name) as process, running(process) as stack:
        for service in services:
            if service.work is not None:
                await stack.enter_async_context(service.work(process))
        if settings.work_port:
            assert process.tasks is not None
            process.tasks.create_task(_probes(process, stop))
        keep_what_is_loaded()
        logger.info("working for %s", ", ".join(service.name for service in services))
        await stop.wait()
