"""A process' side of the service, opened and closed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.eventstore.store import EventStore
from libs.runtime.process import Process
from services.accounts.application.context import Context
from services.accounts.barrier import Barrier
from services.accounts.passwords import Passwords
from services.accounts.projections import project


@asynccontextmanager
async def opened(process: Process) -> AsyncIterator[Context]:
    """The context of commands in this process. Needs no server to be there."""
    role = process.database.role
    store = EventStore("accounts", process.settings.database_url, project, role=role)
    barrier = Barrier(process.bus, process.database)
    await barrier.start()
    passwords = Passwords()
    try:
        yield Context(
            settings=process.settings,
            clock=process.clock,
            store=store,
            database=process.database,
            passwords=passwords,
            barrier=barrier,
        )
    finally:
        passwords.close()
        await store.close()
