"""What is worth nothing any more goes: links that are too old, mails that were read or sent, sessions that ended."""

import asyncio
import logging

from libs.eventstore.database import Database, DatabaseUnavailable

log = logging.getLogger("ezstat.accounts.housekeeping")

_PAUSE = 3600.0  # seconds
_WORTHLESS = (
    "delete from accounts.tickets where expires_at < now()",
    "delete from accounts.mails where created_at < now() - interval '30 days'",
    "delete from accounts.invitations where expires_at < now() - interval '30 days'",
    "delete from accounts.sessions where expires_at < now() - interval '1 day'",
    "delete from accounts.uses u where not exists (select from accounts.keys k where k.id = u.key_id)"
    " and not exists (select from accounts.sessions s where s.id = u.key_id)",
)


async def keep_house(database: Database) -> None:
    """For ever, once an hour."""
    while True:
        try:
            await sweep(database)
        except DatabaseUnavailable:
            log.warning("Postgres is away: housekeeping waits")
        await asyncio.sleep(_PAUSE)


async def sweep(database: Database) -> None:
    async with database.house() as cursor:
        for statement in _WORTHLESS:
            await cursor.execute(statement)
