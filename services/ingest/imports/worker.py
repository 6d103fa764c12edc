"""The worker of imports: reads a file chunk by chunk and has each chunk sent as a frame."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from functools import partial
from typing import NoReturn, TypeVar
from uuid import uuid4

from libs.bus.errors import BusUnavailable, StreamRefused
from libs.bus.publish import FramePublisher
from libs.eventstore.database import DatabaseUnavailable
from libs.runtime.clock import Clock
from services.ingest.application import Application
from services.ingest.imports import formats
from services.ingest.imports.chunks import chunks
from services.ingest.imports.folder import Folder
from services.ingest.imports.jobs import Job, Jobs, Progress, State
from services.ingest.imports.rows import Unreadable
from services.ingest.imports.sender import ChunkSender

log = logging.getLogger("ezstat.ingest.imports")
T = TypeVar("T")

LOOK_EVERY = 0.5
HELD_FOR = 5.0
_RETRY = 0.5
_TIDY_EVERY = 3600.0


class _Lost(Exception):
    """The job was cancelled, or somebody else has it."""


class Importer:
    """Works on one import at a time. After `held_for` seconds of silence another worker takes a job over."""

    def __init__(
        self,
        application: Application,
        jobs: Jobs,
        folder: Folder,
        publisher: FramePublisher,
        clock: Clock,
        partitions: int,
        held_for: float = HELD_FOR,
    ) -> None:
        self._application = application
        self._jobs = jobs
        self._folder = folder
        self._publisher = publisher
        self._clock = clock
        self._partitions = partitions
        self._held_for = held_for
        self._holder = uuid4()

    async def run(self) -> NoReturn:
        """For ever."""
        tidied = float("-inf")
        while True:
            with suppress(DatabaseUnavailable):
                if self._clock.monotonic() - tidied > _TIDY_EVERY:
                    tidied = self._clock.monotonic()
                    await self._folder.tidy(self._jobs)
                while (job := await self._jobs.claim(self._holder, self._held_for)) is not None:
                    await self._work_on(job)
            await asyncio.sleep(LOOK_EVERY)

    async def _work_on(self, job: Job) -> None:
        holding = asyncio.create_task(self._keep_hold(job))
        working = asyncio.create_task(self._import(job))
        try:
            await asyncio.wait((holding, working), return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                await working
        except _Lost:
            pass
        finally:
            for task in (holding, working):
                task.cancel()
            await asyncio.gather(holding, working, return_exceptions=True)
        if not await self._jobs.known([job.id]):
            self._folder.remove(job.id)

    async def _keep_hold(self, job: Job) -> None:
        """Ends when the job is not ours any more."""
        while True:
            await asyncio.sleep(self._held_for / 3)
            with suppress(DatabaseUnavailable):
                if not await self._jobs.hold(job.id, self._holder, self._held_for):
                    return

    async def _import(self, job: Job) -> None:
        log.info("importing %d bytes of %s", job.bytes, job.format)
        try:
            await self._all_chunks(job)
        except Unreadable as error:
            await self._end(job, "failed", str(error))
        except FileNotFoundError:
            await self._end(job, "failed", "the file is not on the machine of the worker; send it again")
        except _Lost:
            raise
        except Exception:
            # One file must not keep the process from everything else it does.
            log.exception("an import failed")
            await self._end(job, "failed", "something went wrong here; it has been logged")
        else:
            await self._end(job, "done")

    async def _end(self, job: Job, state: State, reason: str = "") -> None:
        await patiently(lambda: self._jobs.end(job.id, self._holder, state, reason))

    async def _all_chunks(self, job: Job) -> None:
        done = Progress(job.chunk, job.rows, job.points, job.bad, list(job.errors))
        sender = ChunkSender(job, self._application, self._publisher, self._partitions, self._clock)
        items = formats.read(self._folder.file(job.id), job.format, job.created_at.timestamp())
        with closing(chunks(items)) as cut:
            while (chunk := await asyncio.to_thread(next, cut, None)) is not None:
                if chunk.number > job.chunk:  # else a worker before us has sent it
                    done.add(chunk.number, *await patiently(partial(sender.send, chunk)))
                    if not await patiently(lambda: self._jobs.progress(job.id, self._holder, done)):
                        raise _Lost


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """What `call` gives once Postgres and NATS are there to do it."""
    while True:
        try:
            return await call()
        except (DatabaseUnavailable, BusUnavailable, StreamRefused) as error:
            log.warning("an import waits: %s", error or type(error).__name__)
            await asyncio.sleep(_RETRY)
