"""A whole accounts service, HTTP and work, in a new database, as `ezstat serve` and `ezstat work` would run it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx
from nats.js.errors import NotFoundError

from libs.bus.streams import events_stream
from libs.eventstore.migrate import migrate
from libs.runtime.process import Process, open_process
from libs.runtime.settings import Settings
from libs.runtime.tasks import background_tasks
from services.accounts.application.context import Context
from services.accounts.service import service
from tests.libs.databases import fresh_database
from tests.servers import Servers


@dataclass
class Installation:
    process: Process
    app: Any
    dsn: str

    @property
    def context(self) -> Context:
        context: Context = self.app.state.accounts
        return context

    def browser(self, **headers: str) -> httpx.AsyncClient:
        """A new client without cookies; paths only, the host is the installation's."""
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, client=("192.0.2.1", 1)), base_url="http://localhost:8000",
            headers=headers,
        )  # fmt: skip


def settings_for(servers: Servers, dsn: str, **changed: Any) -> Settings:
    ordinary = {"secret": "a secret for tests", "rate_limits": False}
    return Settings(database_url=dsn, nats_url=servers.nats_url, redis_url=servers.redis_url, **{**ordinary, **changed})


@asynccontextmanager
async def installed(servers: Servers, *, working: bool = True, **changed: Any) -> AsyncIterator[Installation]:
    with fresh_database(servers.database_url) as dsn:
        migrate(dsn, [("accounts", service.schema)])
        settings = settings_for(servers, dsn, **changed)
        assert service.http is not None
        assert service.work is not None
        async with (
            open_process(settings, "http", "http-1") as process,
            open_process(settings, "work", "work-1") as worker,
            background_tasks() as tasks,
        ):
            process.tasks = worker.tasks = tasks
            await process.bus.wait(5)
            await worker.bus.wait(5)
            # The session's NATS has served other installations, with other event stores.
            with suppress(NotFoundError):
                await process.bus.js.delete_stream(events_stream("accounts"))
            await service.commands["first-run"](worker)
            async with service.http(process) as side:
                if not working:
                    yield Installation(process, side.app, dsn)
                    return
                async with service.work(worker):
                    yield Installation(process, side.app, dsn)
