"""What the keeper does with processes that end, hang or say that they are ill."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from libs.runtime.children import free_port
from libs.runtime.folder import Component, DataFolder, FolderInUse
from libs.runtime.keeper import Keeper, Program, StartFailed, end_leftovers
from tests.eventually import eventually


def program(text: str, tmp_path: Path, **more: object) -> Program:
    return Program("small", "server", (sys.executable, "-c", text), {}, log=tmp_path / "log", **more)  # type: ignore[arg-type]


@asynccontextmanager
async def kept(keeper: Keeper) -> AsyncIterator[Keeper]:
    task = asyncio.create_task(keeper.keep())
    try:
        yield keeper
    finally:
        await keeper.stop(1)
        await asyncio.wait_for(task, 5)


async def test_a_process_that_says_three_times_it_is_sick_is_started_again(tmp_path: Path) -> None:
    complaints = 0

    def sick() -> bool:
        nonlocal complaints
        complaints += 1
        return complaints <= 3

    keeper = Keeper(program("import time; time.sleep(60)", tmp_path, sick=sick))
    await keeper.start()
    first = keeper.component.pid
    async with kept(keeper):
        await eventually(
            lambda: keeper.component.restarts == 1 and keeper.component.pid not in (None, first), within=10
        )
    assert keeper.component.pid is None


async def test_what_ends_before_it_is_ready_shows_its_last_words(tmp_path: Path) -> None:
    keeper = Keeper(program("import sys; sys.exit('no room left')", tmp_path, ready=lambda: False))
    with pytest.raises(StartFailed, match="no room left"):
        await keeper.start()


async def test_a_process_that_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    text = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    keeper = Keeper(program(text, tmp_path, ready=lambda: "ready" in (tmp_path / "log").read_text()))
    await keeper.start()
    async with kept(keeper):
        pass
    assert keeper.component.pid is None


async def test_a_stopped_process_ends_too(tmp_path: Path) -> None:
    keeper = Keeper(program("import time; time.sleep(60)", tmp_path))
    await keeper.start()
    assert keeper.component.pid is not None
    os.kill(keeper.component.pid, signal.SIGSTOP)
    async with kept(keeper):
        pass


async def test_leftovers_of_a_killed_run_are_ended_and_strangers_are_not(tmp_path: Path) -> None:
    keeper = Keeper(program("import time; time.sleep(60)", tmp_path))
    await keeper.start()
    stranger = Component("redis", "server", keeper.component.pid, started=keeper.component.started + 1)
    await asyncio.to_thread(end_leftovers, [stranger], 0.1)
    assert keeper.component.pid is not None
    assert psutil.pid_exists(keeper.component.pid)
    await asyncio.to_thread(end_leftovers, [keeper.component])
    assert not psutil.pid_exists(keeper.component.pid)


def test_a_folder_is_locked_for_one(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    assert not folder.is_running()
    with folder.locked():
        assert folder.is_running()
        with pytest.raises(FolderInUse, match="EZSTAT_DATA"), DataFolder(tmp_path / "data").locked():
            pass
    assert not folder.is_running()


def test_the_secret_is_made_once(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    assert folder.secret() == ""
    made = folder.secret(make=True)
    assert len(made) >= 32
    assert folder.secret(make=True) == made
    assert (folder.path / "secret").stat().st_mode & 0o777 == 0o600


def test_private_ports_lie_outside_of_those_the_kernel_hands_out() -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(port < first for port in (free_port() for _ in range(50)))
