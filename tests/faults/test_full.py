"""Faults 4 and 15: no room left, in the spool and on the disk under everything. What can't be kept is refused, never
acknowledged, and with room again all goes on."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.faults.accounting import Account, loading, settle
from tests.faults.long import LONG
from tests.needs import missing, program, root
from tests.running import Ezstat, running

pytestmark = pytest.mark.fault

SLOWEST = 3.5
LEFT = 256 << 10
ROOMY = "4G"


# 4, the spool is full


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ezstat]:
    folder = tmp_path_factory.mktemp("small") / "data"
    with running(folder, EZSTAT_SPOOL_BYTES="30000", EZSTAT_RATE_LIMITS="off") as started:
        yield started


async def test_a_full_spool_refuses_and_keeps_what_it_took(small: Ezstat) -> None:
    key = await asyncio.to_thread(lambda: small.sign_up().key())
    async with loading(small.url, key, "spool", senders=8) as account:
        await eventually(lambda: account.statuses[200] > 100)
        pid = small.components()["nats"]["pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            await eventually(lambda: account.statuses[503] > 20, within=10)
            refused = await asyncio.to_thread(small.client().post, "/ez", data={"ezkey": key, "stat": "refused"})
        finally:
            os.kill(pid, signal.SIGCONT)
    assert (refused.status_code, refused.json()["status"]) == (503, 503)
    assert int(refused.headers["retry-after"]) >= 1
    assert set(account.statuses) <= {200, 503}
    assert account.p99() < SLOWEST
    await settle(small.url, key, "spool", account)


# 15, the disk is full


class Disk:
    """A file system in memory that can be shrunk until nothing fits in it any more."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        """Leave hardly any room."""
        found = os.statvfs(self.folder)
        used = (found.f_blocks - found.f_bfree) * found.f_frsize
        self._resize(str(used + LEFT))

    def empty(self) -> None:
        self._resize(ROOMY)

    def _resize(self, size: str) -> None:
        subprocess.run([program("mount"), "-o", f"remount,size={size}", str(self.folder)], check=True)


@contextmanager
def mounted(folder: Path) -> Iterator[Disk]:
    root()
    folder.mkdir()
    tried = subprocess.run([program("mount"), "-t", "tmpfs", "-o", f"size={ROOMY}", "tmpfs", str(folder)], check=False)
    if tried.returncode:
        missing("may not mount a tmpfs")
    folder.chmod(0o755)
    try:
        yield Disk(folder)
    finally:
        subprocess.run([program("umount"), "--lazy", str(folder)], check=True)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    with mounted(tmp_path_factory.mktemp("full") / "disk") as disk:
        yield disk


@pytest.fixture(scope="module")
def house(disk: Disk) -> Iterator[Ezstat]:
    """Postgres, NATS and the spool are all on that disk; the log is not: somebody will want to know what happened."""
    there, folder = disk.folder / "data", disk.folder.with_name("data")
    there.mkdir(mode=0o711)
    folder.symlink_to(there)
    with running(folder, EZSTAT_RATE_LIMITS="off") as started:
        yield started


def refusals(account: Account) -> int:
    return sum(n for status, n in account.statuses.items() if status in (0, 503))


async def test_a_full_disk_loses_and_doubles_nothing(disk: Disk, house: Ezstat) -> None:
    key = await asyncio.to_thread(lambda: house.sign_up().key())
    async with loading(house.url, key, "disk", senders=8) as account:
        await eventually(lambda: account.statuses[200] > 100)
        await asyncio.to_thread(disk.fill)
        try:
            await eventually(lambda: refusals(account) > 10, within=30)
            await asyncio.sleep(5 if LONG else 0)
        finally:
            await asyncio.to_thread(disk.empty)
        # Its stream may stay broken until it is started again; the supervisor may have come first.
        with suppress(ProcessLookupError):
            await asyncio.to_thread(house.kill, "nats")
        again = account.statuses[200]
        await eventually(lambda: account.statuses[200] > again + 50, within=30)
    assert set(account.statuses) <= {0, 200, 503}
    await settle(house.url, key, "disk", account)
