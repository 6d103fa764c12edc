"""Where groups go while NATS is away: frames on disk, fsynced before the answer, sent later under the same frame ids.

One folder per process. A record is length (u32), CRC32 of the rest (u32), partition (u16), frame. The next process to
start adopts the folders of dead ones (their lock is free).
"""

import asyncio
import fcntl
import logging
import os
import struct
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from zlib import crc32

log = logging.getLogger("ezstat.ingest.spool")

_HEAD = struct.Struct("<II")
_PARTITION = struct.Struct("<H")
SEGMENT_BYTES = 16 << 20

Send = Callable[[int, bytes], Awaitable[None]]


class SpoolFull(Exception):
    """The spool can't keep more: full, off, or its disk refuses."""


def _records(segment: Path) -> Iterator[tuple[int, bytes]]:
    """(partition, frame) of a segment, up to the first record that was not written whole."""
    with segment.open("rb") as file:
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            length, check = _HEAD.unpack(head)
            record = file.read(length)
            if len(record) != length or crc32(record) != check:
                log.warning("spool segment %s ends in a torn record; what was acknowledged is before it", segment.name)
                return
            yield _PARTITION.unpack_from(record)[0], record[_PARTITION.size :]


def _remove(segment: Path) -> int:
    """Delete a segment; returns its size in bytes."""
    size = segment.stat().st_size
    segment.unlink()
    return size


class Spool:
    """Appends frames (many at a time, one fsync) and drains them in order once `send` works again."""

    def __init__(self, root: Path, owner: str, limit: int) -> None:
        """`limit` is in bytes; 0 switches the spool off."""
        self.root = root
        self.folder = root / owner
        self.limit = limit
        self.bytes = 0
        self.pending = asyncio.Event()
        self.only_hope = False  # a publish failed, and none has worked since
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "spool")
        self._segment: Path | None = None
        self._lock: int | None = None
        self._count = 0

    def open(self) -> None:
        """Lock our own folder and adopt what dead processes left. Call once, before the first `append`."""
        if not self.limit:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        self._lock = lock
        for other in sorted(self.root.iterdir()):
            if other != self.folder and other.is_dir():
                self._adopt(other)
        self.bytes = sum(segment.stat().st_size for segment in self._segments())
        if self.bytes:
            self.pending.set()

    def _adopt(self, other: Path) -> None:
        try:
            lock = os.open(other / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        except FileNotFoundError:
            return  # its owner has just gone
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return  # alive
        else:
            for segment in sorted(other.glob("*.frames")):
                segment.rename(self._next_segment())
            (other / "lock").unlink(missing_ok=True)
            other.rmdir()
        finally:
            os.close(lock)

    def _next_segment(self) -> Path:
        self._count += 1
        return self.folder / f"{self._count:010}.frames"

    def _segments(self) -> list[Path]:
        return sorted(self.folder.glob("*.frames"))

    async def append(self, partition: int, frame: bytes) -> None:
        """Return once the frame is on disk. Raises `SpoolFull`; then nothing was kept."""
        record = _PARTITION.pack(partition) + frame
        entry = _HEAD.pack(len(record), crc32(record)) + record
        if self.bytes + len(entry) > self.limit:
            raise SpoolFull
        self.bytes += len(entry)
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, done))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all())
        await done

    async def _write_all(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                data = b"".join(entry for entry, _ in batch)
                try:
                    await loop.run_in_executor(self._thread, self._write, data)
                except OSError as error:
                    log.error("the spool can't write: %s", error)
                    self.bytes -= len(data)
                    for _, done in batch:
                        done.set_exception(SpoolFull())
                else:
                    self.pending.set()
                    for _, done in batch:
                        done.set_result(None)
        finally:
            self._writing = None

    def _write(self, data: bytes) -> None:
        if self._segment is None or not self._segment.exists() or self._segment.stat().st_size > SEGMENT_BYTES:
            self._segment = self._next_segment()
        file = os.open(self._segment, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        before = os.fstat(file).st_size
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(file, rest) :]
            os.fdatasync(file)
        except OSError:
            os.ftruncate(file, before)  # a half-written record must not stand before later ones
            raise
        finally:
            os.close(file)

    async def drain(self, send: Send) -> None:
        """For ever: send what was spooled, oldest first; a segment goes when all of it was acknowledged.

        `send(partition, frame)` raises while the bus is away; it is tried again with the same frame (followers know
        frame ids, so twice is once).
        """
        while True:
            await self.pending.wait()
            self.pending.clear()
            while segments := self._segments():
                await self._drain_segment(segments[0], send)
            self._segment = None

    async def _drain_segment(self, segment: Path, send: Send) -> None:
        loop = asyncio.get_running_loop()
        if segment == self._segment:
            # The writer starts a new segment for what comes from now on.
            await loop.run_in_executor(self._thread, self._close_segment)
        for partition, frame in await loop.run_in_executor(None, lambda: list(_records(segment))):
            await send(partition, frame)
            self.only_hope = False
        self.bytes -= await loop.run_in_executor(None, _remove, segment)

    def _close_segment(self) -> None:
        self._segment = None

    async def close(self) -> None:
        """Finish what is being written. What was not drained stays for the next process."""
        if self._writing is not None:
            await self._writing
        self._thread.shutdown()
        if self._lock is not None:
            if not self._segments():
                (self.folder / "lock").unlink(missing_ok=True)
                self.folder.rmdir()
            os.close(self._lock)
