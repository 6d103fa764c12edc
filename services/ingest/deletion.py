"""What deleted stats left behind goes at once: their rows, within about a second of the tombstone."""

import asyncio
import logging
from typing import NoReturn
from uuid import UUID

from libs.eventstore.database import Database, DatabaseUnavailable
from services.ingest.queries import Cursor

log = logging.getLogger("ezstat.ingest.deletion")

LOOK_EVERY = 0.5
ROWS_AT_ONCE = 5_000

_DELETE_SOME = """
delete from ingest.{table} where partition = %(partition)s and stat = %(stat)s and ctid = any(array(
    select ctid from ingest.{table} where partition = %(partition)s and stat = %(stat)s limit %(limit)s
))
"""
TABLES = ("minutes", "hours", "points")


class Deletion:
    """Deletes the rows of stats that have a tombstone. Safe to run in several processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self) -> NoReturn:
        """For ever. While Postgres is away there is nothing to delete from."""
        while True:
            try:
                await self.remove_rows()
            except DatabaseUnavailable as error:
                log.warning("rows of deleted stats stay for now: %s", error)
            await asyncio.sleep(LOOK_EVERY)

    async def remove_rows(self) -> int:
        """Remove what is there now, in short transactions. Returns how many stats were dealt with."""
        async with self._database.house() as cursor:
            await cursor.execute("select partition, stat from ingest.tombstones where not rows_gone")
            open_ones = await cursor.fetchall()
        for partition, stat in open_ones:
            for table in TABLES:
                while await self._remove_some(table, partition, stat):
                    pass
            async with self._database.house() as cursor:
                await cursor.execute("update ingest.tombstones set rows_gone = true where stat = %s", (stat,))
        return len(open_ones)

    async def _remove_some(self, table: str, partition: int, stat: UUID) -> bool:
        async with self._database.house() as cursor:
            return await delete_some(cursor, table, partition, stat) == ROWS_AT_ONCE


async def delete_some(cursor: Cursor, table: str, partition: int, stat: UUID) -> int:
    """Delete up to `ROWS_AT_ONCE` rows of a stat; returns how many."""
    query = _DELETE_SOME.format(table=table).encode()
    await cursor.execute(query, {"partition": partition, "stat": stat, "limit": ROWS_AT_ONCE})
    return cursor.rowcount
