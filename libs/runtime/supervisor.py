"""Keeps the processes of a run alive, and stops them in order.

Imports neither numpy nor a web framework: this process lives beside all the others and must stay small.
"""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from libs.runtime.folder import Component, DataFolder
from libs.runtime.keeper import Keeper, Program
from libs.runtime.rings import DeadRings
from libs.runtime.tasks import background_tasks

logger = logging.getLogger(__name__)

SERVER = "server"
_SAME_SIGNAL = 0.5  # seconds: shells and wrappers may send the same one to a process and once more to its group
_DRAIN, _SERVERS_STOP = 6.0, 3.0  # seconds; together they stay below the ten that a stop may take


class Supervisor:
    """Keeps programs running, and writes down in `folder` which processes they are."""

    def __init__(self, tasks: asyncio.TaskGroup, folder: DataFolder | None, urls: dict[str, str]) -> None:
        self._tasks = tasks
        self._folder = folder
        self._urls = urls
        self._keepers: list[Keeper] = []
        self._rings: DeadRings | None = None

    async def start(self, programs: Sequence[Program]) -> None:
        """Start them together, wait until all are ready, and keep them running. Raises `StartFailed`."""
        keepers = [Keeper(program, self._write_down, self._bury) for program in programs]
        self._keepers += keepers
        async with asyncio.TaskGroup() as starting:
            for keeper in keepers:
                starting.create_task(keeper.start())
        for keeper in keepers:
            self._tasks.create_task(keeper.keep())

    def announce(self, rings: DeadRings) -> None:
        """From now on, tell about the rings of processes that die."""
        self._rings = rings
        self._tasks.create_task(rings.run())

    async def stop(self) -> None:
        """First those that answer and work, then the servers they need."""
        servers = [keeper for keeper in self._keepers if keeper.program.role == SERVER]
        ours = [keeper for keeper in self._keepers if keeper.program.role != SERVER]
        await asyncio.gather(*(keeper.stop(_DRAIN) for keeper in ours))
        if self._rings is not None:
            await self._rings.close()
        await asyncio.gather(*(keeper.stop(_SERVERS_STOP) for keeper in servers))

    def kill(self) -> None:
        for keeper in self._keepers:
            keeper.kill()

    def _write_down(self) -> None:
        if self._folder is None:
            return
        try:
            self._folder.write([keeper.component for keeper in self._keepers], self._urls)
        except OSError as error:  # a full disk must not end what still runs
            logger.error("can't write down what runs: %s", error)

    def _bury(self, component: Component, pid: int) -> None:
        if self._rings is not None and component.role == "http":
            self._rings.died(pid)


@asynccontextmanager
async def supervising(
    folder: DataFolder | None = None, urls: dict[str, str] | None = None
) -> AsyncIterator[Supervisor]:
    """A supervisor whose programs are stopped at the end. SIGTERM or Ctrl-C ends the body, a second one kills."""
    body = asyncio.current_task()
    loop = asyncio.get_running_loop()
    async with background_tasks() as tasks:
        supervisor = Supervisor(tasks, folder, urls or {})
        told_at: float | None = None

        def on_signal() -> None:
            nonlocal told_at
            now = loop.time()
            if told_at is None:
                told_at = now
                if body is not None:
                    body.cancel()
            elif now - told_at > _SAME_SIGNAL:
                supervisor.kill()

        for sig in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(sig, on_signal)
        try:
            yield supervisor
        except asyncio.CancelledError:
            if told_at is None or body is None:
                raise
            body.uncancel()
        finally:
            await supervisor.stop()
