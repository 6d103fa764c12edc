"""Keeps one process running: starts it, watches it, starts it again when it dies."""

import asyncio
import ctypes
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from libs.runtime.errors import CannotRun
from libs.runtime.folder import Component

logger = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE, _CALM = 0.1, 5.0, 30.0
_PR_SET_PDEATHSIG = 1


class StartFailed(CannotRun):
    """A process ended before it was ready for the first time; the message holds the end of its output."""


@dataclass(frozen=True)
class Program:
    """What is to be kept running. `log` None: it writes to our own stderr. `sick` says that a living process must
    be started again; it is asked once a second, after it was ready, and counts when it says so
    three times running."""

    name: str
    role: str
    argv: tuple[str, ...]
    environ: Mapping[str, str]
    stop_signal: signal.Signals = signal.SIGTERM
    prepare: Callable[[], None] = lambda: None
    ready: Callable[[], bool] = lambda: True
    sick: Callable[[], bool] | None = None
    log: Path | None = None
    pass_fds: tuple[int, ...] = ()
    cwd: str | None = None


@dataclass
class Keeper:
    """One program and the process that runs it now. `changed` is called after every start and death, `died` with the
    pid of a process that ended."""

    program: Program
    changed: Callable[[], None] = lambda: None
    died: Callable[[Component, int], None] = lambda component, pid: None
    component: Component = field(init=False)
    _process: asyncio.subprocess.Process | None = None
    _stopping: bool = False

    def __post_init__(self) -> None:
        self.component = Component(self.program.name, self.program.role)

    async def start(self) -> None:
        """Start and wait until it is ready. Raises `StartFailed`."""
        await self._spawn()
        if self._process is None or not await self._wait_ready(self._process):
            raise StartFailed(f"{self.program.name} did not start\n{self._last_words()}".rstrip())

    async def keep(self) -> None:
        """Start it again whenever it ends, until `stop`."""
        pause = 0.0
        while not self._stopping:
            began = time.monotonic()
            await self._wait_end()
            calm = time.monotonic() - began > _CALM
            pause = _FIRST_PAUSE if calm else min(max(pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
            await asyncio.sleep(pause)
            self.component.restarts += 1
            try:
                await self._spawn()
            except (OSError, CannotRun) as error:
                logger.error("%s can't be started: %s", self.program.name, error)

    async def _wait_end(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        check = asyncio.create_task(self._restart_when_sick(process))
        try:
            code = await process.wait()
        finally:
            check.cancel()
        self.component.pid = None
        self.changed()
        self.died(self.component, process.pid)
        if not self._stopping:
            logger.error("%s (process %d) ended with %s and is started again", self.program.name, process.pid, code)

    async def stop(self, patience: float) -> None:
        """Ask it to end; kill it when `patience` seconds were not enough."""
        self._stopping = True
        process = self._process
        if process is not None and process.returncode is None:
            self._signal(self.program.stop_signal)
            try:
                await asyncio.wait_for(process.wait(), patience)
            except TimeoutError:
                logger.warning("%s did not stop in %.0f s and is killed", self.program.name, patience)
                self.kill()
                await process.wait()
        self.component.pid = None
        self.changed()

    def kill(self) -> None:
        self._stopping = True
        self._signal(signal.SIGKILL)

    def _signal(self, sig: signal.Signals) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        # Not `send_signal`: that reaps a process that just ended, and asyncio then never learns its exit code.
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, sig)
            os.kill(self._process.pid, signal.SIGCONT)  # a stopped process would not even see that it shall end

    async def _spawn(self) -> None:
        program = self.program
        await asyncio.to_thread(program.prepare)
        if self._stopping:
            return
        log = None if program.log is None else program.log.open("ab")
        try:
            process = await asyncio.create_subprocess_exec(
                *program.argv,
                env=dict(program.environ),
                cwd=program.cwd,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=program.pass_fds,
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which stops the others in order
                preexec_fn=_end_with_parent(program.stop_signal),
            )
        finally:
            if log is not None:
                log.close()
        self._process = process
        self.component.pid, self.component.since = process.pid, time.time()
        with suppress(psutil.NoSuchProcess):
            self.component.started = psutil.Process(process.pid).create_time()
        self.changed()

    async def _wait_ready(self, process: asyncio.subprocess.Process) -> bool:
        while process.returncode is None:
            if await asyncio.to_thread(self.program.ready):
                return True
            await asyncio.sleep(0.02)
        return False

    async def _restart_when_sick(self, process: asyncio.subprocess.Process) -> None:
        if self.program.sick is None:
            return
        await self._wait_ready(process)  # a server that reads its files at start is not sick
        complaints = 0
        while complaints < 3:
            await asyncio.sleep(1)
            complaints = complaints + 1 if await asyncio.to_thread(self.program.sick) else 0
        logger.error("%s says it is not healthy and is started again", self.program.name)
        self._signal(signal.SIGKILL)

    def _last_words(self) -> str:
        if self.program.log is None:
            return ""
        return self.program.log.read_bytes()[-2000:].decode(errors="replace")


def _end_with_parent(sig: signal.Signals) -> Callable[[], None] | None:
    """Runs between fork and exec: the kernel sends `sig` when the supervisor dies, were it by kill -9 (Linux)."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, int(sig)) and None


def end_leftovers(components: list[Component], patience: float = 5.0) -> None:
    """End what a run that was killed has left behind, and wait for it."""
    left = []
    for component in components:
        with suppress(psutil.NoSuchProcess):
            if component.pid is not None:
                process = psutil.Process(component.pid)
                if process.create_time() == component.started and process.pid != os.getpid():
                    process.send_signal(signal.SIGINT if component.name == "postgres" else signal.SIGTERM)
                    left.append(process)
    _, alive = psutil.wait_procs(left, timeout=patience)
    for process in alive:
        logger.warning("process %d of an earlier run does not stop and is killed", process.pid)
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=patience)
