"""Closed accounts lose their stats as if somebody had deleted each, and their imports."""

import asyncio
import logging
from typing import NoReturn
from uuid import UUID

from libs.contracts.accounts import Mode
from libs.eventstore.database import Database, DatabaseUnavailable
from libs.eventstore.store import StaleAggregate
from libs.http.errors import NotFound
from services.ingest.application import Application
from services.ingest.imports.folder import Folder

log = logging.getLogger("ezstat.ingest.closures")

LOOK_EVERY = 2.0
_AT_ONCE = 100

# At any time: points that were on their way may make stats anew.
_LEFT = """
select s.account, s.mode, s.id from ingest.closures c join ingest.stats s on s.account = c.account limit %s
"""
_IMPORTS = """
delete from ingest.imports i using ingest.closures c where i.account = c.account returning i.id
"""


class Closures:
    """Deletes what closed accounts left. Safe to run in several processes."""

    def __init__(self, database: Database, application: Application, folder: Folder) -> None:
        self._database = database
        self._application = application
        self._folder = folder

    async def run(self) -> NoReturn:
        """For ever."""
        while True:
            try:
                await self.once()
            except DatabaseUnavailable as error:
                log.warning("closed accounts keep their stats for now: %s", error)
            await asyncio.sleep(LOOK_EVERY)

    async def once(self) -> None:
        """Delete what is there now."""
        async with self._database.house() as cursor:
            await cursor.execute(_IMPORTS)
            imports = [row[0] for row in await cursor.fetchall()]
        for job in imports:
            self._folder.remove(job)
        while stats := await self._left():
            for account, mode, stat in stats:
                await self._delete(account, mode, stat)

    async def _left(self) -> list[tuple[UUID, Mode, UUID]]:
        async with self._database.house() as cursor:
            await cursor.execute(_LEFT, (_AT_ONCE,))
            return [(account, mode, stat) for account, mode, stat in await cursor.fetchall()]

    async def _delete(self, account: UUID, mode: Mode, stat: UUID) -> None:
        try:
            await self._application.delete(account, mode, str(stat), "closing")
        except (NotFound, StaleAggregate):
            log.info("another process was faster")
