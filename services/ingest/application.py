"""Commands of ingest; the only caller of the event store's commit."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from libs.bus.connect import Bus
from libs.bus.errors import BusUnavailable
from libs.contracts.accounts import Mode
from libs.contracts.ingest import STATS_FORGOTTEN, Kind, StatsForgotten, partition_of
from libs.eventstore.database import Database
from libs.eventstore.store import Conflict as AlreadyThere
from libs.eventstore.store import EventStore
from libs.http.errors import BadRequest, Conflict, NotFound
from services.ingest import queries
from services.ingest.domain import InvalidStat, Stat, clean_name
from services.ingest.queries import StatRow
from services.ingest.writer_lock import WAIT_FOR_WRITER


@dataclass(frozen=True)
class Wanted:
    """A stat that somebody sends to, which may not exist yet."""

    account: UUID
    mode: Mode
    name: str
    kind: Kind
    actor: str


@dataclass(frozen=True)
class Named:
    """An existing stat: `kind` is the one it really has."""

    id: UUID
    kind: Kind
    name: str = ""


class Application:
    """What can be done to stats. Errors are `ApiError`s; `DatabaseUnavailable` while Postgres is away."""

    def __init__(self, store: EventStore, database: Database, bus: Bus, partitions: int) -> None:
        self._partitions = partitions
        self._store = store
        self._database = database
        self._bus = bus

    async def register(self, wanted: Sequence[Wanted]) -> dict[Wanted, Named]:
        """Existing or new stats for some names, new ones in one commit. A kind that differs stays as it is."""
        found = await self._find(wanted)
        missing = {(w.account, w.mode, w.name): w for w in wanted if w not in found}
        if missing:
            stats = [Stat(w.account, w.mode, w.name, w.kind, w.actor) for w in missing.values()]
            try:
                await self._store.save(*stats)
            except AlreadyThere:
                # Somebody else was first with one of them: take theirs, then make what is still missing.
                return await self._register_singly(wanted)
            found |= await self._find([w for w in wanted if w not in found])
        return found

    async def _register_singly(self, wanted: Sequence[Wanted]) -> dict[Wanted, Named]:
        for one in wanted:
            if one not in await self._find([one]):
                try:
                    await self._store.save(Stat(one.account, one.mode, one.name, one.kind, one.actor))
                except AlreadyThere:
                    continue
        return await self._find(wanted)

    async def _find(self, wanted: Sequence[Wanted]) -> dict[Wanted, Named]:
        async with self._database.house() as cursor:
            rows = await queries.stats_by_names(cursor, [(w.account, w.mode, w.name) for w in wanted])
        return {w: Named(*rows[key]) for w in wanted if (key := (w.account, w.mode, w.name)) in rows}

    async def stat_named(self, account: UUID, mode: Mode, stat: UUID) -> Named | None:
        async with self._database.tenant(account) as cursor:
            row = await queries.stat_by_id(cursor, account, mode, stat)
        return None if row is None else Named(*row)

    async def create(self, account: UUID, mode: Mode, name: str, kind: Kind, actor: str) -> StatRow:
        """A new stat. Raises 400 for a bad name, 409 when it is taken."""
        try:
            stat = Stat(account, mode, clean_name(name), kind, actor)
        except InvalidStat as error:
            raise BadRequest(str(error), param=error.field) from None
        try:
            await self._store.save(stat)
        except AlreadyThere:
            raise Conflict("a stat of this name exists already", code="already_exists") from None
        return await self.get(account, mode, str(stat.id))

    async def get(self, account: UUID, mode: Mode, name: str) -> StatRow:
        """A stat by its name, or by its id. Raises 404."""
        async with self._database.tenant(account) as cursor:
            row = await queries.stat(cursor, account, mode, name, partition_of(account, self._partitions))
        if row is None:
            raise NotFound("no such stat")
        return row

    async def describe(self, account: UUID, mode: Mode, name: str, changes: dict[str, object], actor: str) -> StatRow:
        """Change unit, description, colour or pinned; what is not named stays."""
        row = await self.get(account, mode, name)
        stat = await self._store.get(row.id)
        assert isinstance(stat, Stat)
        now = {"unit": stat.unit, "description": stat.description, "colour": stat.colour, "pinned": stat.pinned}
        try:
            stat.describe(**{**now, **changes}, actor=actor)  # type: ignore[arg-type]
        except InvalidStat as error:
            raise BadRequest(str(error), param=error.field) from None
        await self._store.save(stat)
        return await self.get(account, mode, str(row.id))

    async def delete(self, account: UUID, mode: Mode, name: str, actor: str) -> None:
        """Delete a stat for good. Its rows and archived points follow at once and at the next scrub (deletion.py)."""
        row = await self.get(account, mode, name)
        async with self._database.tenant(account) as cursor:
            # The lock comes before the event's time: what the writer has stored so far was received before that time,
            # so the time alone says which points were the stat's (burial.py, replay.py).
            await cursor.execute(WAIT_FOR_WRITER, (partition_of(account, self._partitions),))
            stat = await self._store.get(row.id)
            assert isinstance(stat, Stat)
            stat.delete(actor)
            await self._store.save(stat)
        await self.forget([row.id])

    async def forget(self, stats: Iterable[UUID]) -> None:
        """Tell every process that what it knows of these stats is no longer true."""
        # With the bus away the writer still finds the tombstone, and registers the name anew for later points.
        with suppress(BusUnavailable):
            await self._bus.broadcast(STATS_FORGOTTEN, StatsForgotten(stats=tuple(stats)))
