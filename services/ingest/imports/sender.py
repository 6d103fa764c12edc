"""A chunk of an import on its way to the bus: names registered, types checked, points in one frame.

The frame of a chunk has the same id whenever and by whomever it is sent (epoch from the job, sequence from the chunk):
after a crash the next worker sends again what may or may not have arrived, and nothing doubles.
"""

from array import array
from collections.abc import Iterable, Sequence
from uuid import UUID, uuid5

from libs.bus.publish import FramePublisher
from libs.contracts.ingest import Frame, Kind, Source, encode_frame, partition_of, points_subject
from libs.http.errors import ApiError
from libs.runtime.clock import Clock
from services.ingest.application import Application, Named, Wanted
from services.ingest.imports.chunks import Chunk
from services.ingest.imports.jobs import Job, RowError
from services.ingest.imports.rows import About, Bad, Point

_NAMES_IN_MEMORY = 100_000


def epoch_of(job: UUID) -> UUID:
    """The producer epoch of a job's frames."""
    return uuid5(job, "frames")


class ChunkSender:
    """Sends the chunks of one job."""

    def __init__(
        self, job: Job, application: Application, publisher: FramePublisher, partitions: int, clock: Clock
    ) -> None:
        self._job = job
        self._application = application
        self._publisher = publisher
        self._partition = partition_of(job.account, partitions)
        self._clock = clock
        self._epoch = epoch_of(job.id)
        self._known: dict[str, Named] = {}

    async def send(self, chunk: Chunk) -> tuple[int, Sequence[RowError]]:
        """Returns how many points are on disk now, and the rows that can't be taken.

        Raises `DatabaseUnavailable`, `BusUnavailable`, `StreamRefused`; it may be called again then.
        """
        bad = {item.row: item.reason for item in chunk.items if isinstance(item, Bad)}
        await self._register([item for item in chunk.items if isinstance(item, Point | About)])
        for item in chunk.items:
            if isinstance(item, About) and (reason := await self._describe(item)) is not None:
                bad[item.row] = reason
        points = [item for item in chunk.items if isinstance(item, Point)]
        good = [point for point in points if self._clash(point) is None]
        if len(good) < len(points):
            bad |= {point.row: reason for point in points if (reason := self._clash(point)) is not None}
        if good:
            body = encode_frame(self._frame(chunk.number, good))
            await self._publisher.publish(points_subject(self._partition), f"{self._epoch}:{chunk.number}", body)
        return len(good), [RowError(row, reason) for row, reason in sorted(bad.items())]

    async def _register(self, items: Iterable[Point | About]) -> None:
        if len(self._known) > _NAMES_IN_MEMORY:
            self._known.clear()
        kinds: dict[str, Kind | None] = {}
        for item in items:
            if item.stat not in self._known:
                kinds[item.stat] = kinds.get(item.stat) or item.kind
        if not kinds:
            return
        job = self._job
        # What a file leaves open is a gauge: any number makes sense for it.
        wanted = [Wanted(job.account, job.mode, name, kind or "gauge", job.actor) for name, kind in kinds.items()]
        found = await self._application.register(wanted)
        self._known.update((one.name, named) for one, named in found.items())

    async def _describe(self, about: About) -> str | None:
        """Tell what the file says of a stat, where nobody has said anything else; returns why that can't be."""
        if (reason := self._clash(about)) is not None:
            return reason
        if not about.details:
            return None
        job = self._job
        try:
            row = await self._application.get(job.account, job.mode, str(self._known[about.stat].id))
            news = {name: said for name, said in about.details.items() if not getattr(row, name)}
            if news:
                await self._application.describe(job.account, job.mode, str(row.id), news, job.actor)
        except ApiError as error:
            return error.message
        return None

    def _clash(self, item: Point | About) -> str | None:
        """Why an item does not fit the stat it names, if it does not."""
        kind = self._known[item.stat].kind
        return None if item.kind in (None, kind) else f"this stat is a {kind}"

    def _frame(self, number: int, points: Sequence[Point]) -> Frame:
        job = self._job
        places = {name: place for place, name in enumerate(dict.fromkeys(point.stat for point in points))}
        known = [(name, self._known[name]) for name in places]
        sources = [Source(job.account, job.mode, named.id, name, named.kind, job.key) for name, named in known]
        return Frame(
            version=1,
            epoch=self._epoch,
            seq=number,
            received=int(self._clock.now() * 1e6),
            imported=True,
            sources=sources,
            index=array("H", [places[point.stat] for point in points]).tobytes(),
            times=array("q", [point.at for point in points]).tobytes(),
            values=array("d", [point.value for point in points]).tobytes(),
            items=[],
        )
