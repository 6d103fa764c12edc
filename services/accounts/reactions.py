"""What rings and other services tell, kept in own tables."""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

import msgspec
from psycopg import Cursor
from psycopg.types.json import Jsonb

from libs.contracts.accounts import KeyUsed, RingBeat
from libs.contracts.envelope import Event
from libs.contracts.ingest import StatChanged, StatCreated, StatDeleted
from libs.eventstore.database import Database, DatabaseUnavailable
from services.accounts import barrier

log = logging.getLogger("ezstat.accounts.reactions")

_BEATS_EVERY = 60.0  # seconds
FOLLOWED: dict[type[Event], str] = {
    StatCreated: "stat.created",
    StatChanged: "stat.changed",
    StatDeleted: "stat.deleted",
}


class Signs:
    """Signs of life of rings and keys: beats are gathered and written once a minute, uses as they come."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._heard: set[str] = set()

    async def on_beat(self, beat: RingBeat) -> None:
        self._heard.add(beat.ring)

    async def on_used(self, message: KeyUsed) -> None:
        """`last_used_at` of keys and sessions; ids that are neither (any more) are left out."""
        async with self._database.house() as cursor:
            await cursor.execute(
                "insert into accounts.uses (key_id, account, at)"
                " select used.id, owned.account, to_timestamp(used.at)"
                " from unnest(%s::uuid[], %s::float8[]) as used(id, at) join (select id, account from accounts.keys"
                " union all select id, account from accounts.sessions) as owned using (id)"
                " on conflict (key_id) do update set at = greatest(accounts.uses.at, excluded.at)",
                (list(message.used), list(message.used.values())),
            )

    async def run(self) -> None:
        """For ever: write beats down, once a minute."""
        while True:
            await asyncio.sleep(_BEATS_EVERY)
            try:
                await self.write_beats()
            except DatabaseUnavailable:
                log.warning("Postgres is away: signs of life of rings are not written")

    async def write_beats(self) -> None:
        heard, self._heard = self._heard, set()
        await barrier.seen(self._database, heard)


def log_public_event(cursor: Cursor[Any], event: Event) -> None:
    """Another service's public event as a row of the audit log, while the account is there."""
    detail = {
        name: value for name, value in msgspec.to_builtins(event).items() if name not in ("account", "at", "stat")
    }
    cursor.execute(
        "insert into accounts.audit (account, at, source, action, target, detail)"
        " select account, %s, %s, %s, %s, %s from accounts.accounts where account = %s",
        (
            datetime.fromtimestamp(event.at, UTC),
            event.SERVICE,
            FOLLOWED[type(event)],
            getattr(event, "stat", None),
            Jsonb(detail),
            event.account,
        ),
    )
