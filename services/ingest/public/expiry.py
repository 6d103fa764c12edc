"""Key-less points are kept for 30 days, stats and names without points no longer either."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import NoReturn
from uuid import UUID

from libs.contracts.ingest import partition_of
from libs.eventstore.database import Database, DatabaseUnavailable
from libs.eventstore.store import StaleAggregate
from libs.http.errors import NotFound
from libs.runtime.clock import Clock
from services.ingest.application import Application

log = logging.getLogger("ezstat.ingest.public")

EVERY = 86_400.0
KEPT = timedelta(days=30)
_NAMES_AT_ONCE = 100
_ROWS_AT_ONCE = 5_000
_TIMES = {"minutes": "bucket", "hours": "bucket", "points": "last_at"}

_DELETE_SOME = """
delete from ingest.{table} where partition = %(partition)s and ctid = any(array(
    select ctid from ingest.{table} where partition = %(partition)s and stat = %(stat)s and {time} < %(before)s
    limit %(limit)s
))
"""


class Expiry:
    """Removes what is too old. Safe to run in several processes."""

    def __init__(self, database: Database, application: Application, clock: Clock, partitions: int) -> None:
        self._database = database
        self._application = application
        self._clock = clock
        self._partitions = partitions

    async def run(self) -> NoReturn:
        """Once a day, for ever."""
        while True:
            try:
                await self.once()
            except DatabaseUnavailable as error:
                log.warning("old public points stay for now: %s", error)
            await asyncio.sleep(EVERY)

    async def once(self) -> None:
        """Remove what is too old now. A stat is deleted as any stat is: tombstone, rows, archive."""
        before = datetime.fromtimestamp(self._clock.now(), UTC) - KEPT
        after = ""
        while names := await self._names(after):
            for _, namespace in names:
                await self._expire(namespace, before)
            after = names[-1][0]
        async with self._database.house() as cursor:
            await cursor.execute(
                "delete from ingest.mvps m where account is null and created_at < %s"
                " and not exists (select from ingest.stats s where s.account = m.namespace)",
                (before,),
            )

    async def _names(self, after: str) -> list[tuple[str, UUID]]:
        async with self._database.house() as cursor:
            await cursor.execute(
                "select name, namespace from ingest.mvps where name > %s order by name limit %s",
                (after, _NAMES_AT_ONCE),
            )
            return [(name, namespace) for name, namespace in await cursor.fetchall()]

    async def _expire(self, namespace: UUID, before: datetime) -> None:
        partition = partition_of(namespace, self._partitions)
        async with self._database.house() as cursor:
            await cursor.execute("select id, created_at from ingest.stats where account = %s", (namespace,))
            stats = await cursor.fetchall()
        for stat, created_at in stats:
            for table, time in _TIMES.items():
                while await self._delete_some(table, time, partition, stat, before):
                    pass
            if created_at < before and not await self._has_points(partition, stat):
                try:
                    await self._application.delete(namespace, "live", str(stat), "expiry")
                except (NotFound, StaleAggregate):
                    continue  # another process was faster

    async def _delete_some(self, table: str, time: str, partition: int, stat: UUID, before: datetime) -> bool:
        query = _DELETE_SOME.format(table=table, time=time).encode()
        async with self._database.house() as cursor:
            given = {"partition": partition, "stat": stat, "before": before, "limit": _ROWS_AT_ONCE}
            await cursor.execute(query, given)
            return cursor.rowcount == _ROWS_AT_ONCE

    async def _has_points(self, partition: int, stat: UUID) -> bool:
        async with self._database.house() as cursor:
            await cursor.execute(
                "select exists (select from ingest.hours where partition = %s and stat = %s)", (partition, stat)
            )
            row = await cursor.fetchone()
        return row is not None and bool(row[0])
