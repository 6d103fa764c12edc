"""What every command needs, and what commands share."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import Cursor

from libs.contracts.accounts import KEY_PEPPER, KeyFacts
from libs.eventstore.database import Database
from libs.eventstore.store import EventStore, StaleAggregate
from libs.runtime.clock import Clock
from libs.runtime.settings import Settings
from services.accounts.barrier import Barrier
from services.accounts.passwords import Passwords

Also = Callable[[Cursor[Any]], None]


@dataclass(frozen=True)
class Context:
    """A process' side of the accounts service. Commands take it first, as a method takes `self`."""

    settings: Settings
    clock: Clock
    store: EventStore
    database: Database
    passwords: Passwords
    barrier: Barrier

    @property
    def pepper(self) -> bytes:
        """For digests of adopted keys; the same in every process that has the installation's secret."""
        return self.settings.derive(KEY_PEPPER)


def actor(caller: KeyFacts) -> str:
    """Who did it, as events say it."""
    if caller.kind == "self_hosted":
        return "operator"
    return f"user:{caller.user}" if caller.user else f"key:{caller.key_id}"


async def change(
    context: Context, aggregate_id: UUID, decide: Callable[[Any], object], also: Also | None = None
) -> Any:
    """Get an aggregate, decide, save; again when somebody was faster. Returns the aggregate as saved.

    Raises what `decide` raises, and `NotFound`, `Conflict`, `DatabaseUnavailable`.
    """
    for last in (False, False, True):
        aggregate = await context.store.get(aggregate_id)
        decide(aggregate)
        try:
            await context.store.save(aggregate, also=also)
        except StaleAggregate:
            if last:
                raise
        else:
            return aggregate
    return None


def hexdigest(secret: str) -> str:
    """SHA-256 as events keep it."""
    return hashlib.sha256(secret.encode()).hexdigest()
