"""What the accounts service is made of; the only wiring place."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files

from libs.bus.follower import Follower
from libs.bus.relay import Relay
from libs.contracts.accounts import RESOLVE_KEY, RING_BEAT, RING_USED, KeyUsed, ResolveKey, RingBeat
from libs.http.app import make_app
from libs.outbound.mail import Mailer
from libs.runtime.process import Process
from libs.runtime.service import HttpSide, Route, Service
from services.accounts import commands
from services.accounts.api import keys, signing, team
from services.accounts.context import opened
from services.accounts.housekeeping import keep_house
from services.accounts.mailroom import run_mailroom
from services.accounts.publish import publish
from services.accounts.reactions import FOLLOWED, Signs, log_public_event
from services.accounts.resolver import Resolver


@asynccontextmanager
async def http(process: Process) -> AsyncIterator[HttpSide]:
    async with opened(process) as context:
        resolver = Resolver(process.database, process.settings)
        await process.bus.answer(RESOLVE_KEY, ResolveKey, resolver.answer, queue="accounts")
        app = make_app("accounts", process, [signing.router, keys.router, team.router])
        app.state.accounts = context
        yield HttpSide(app)


@asynccontextmanager
async def work(process: Process) -> AsyncIterator[None]:
    assert process.tasks is not None, "a working process has a task group"
    settings = process.settings
    mailer = Mailer(settings.smtp_url, settings.mail_from) if settings.smtp_url else None
    async with opened(process) as context:
        signs = Signs(process.database)
        await process.bus.listen(RING_BEAT, RingBeat, signs.on_beat)
        await process.bus.listen(RING_USED, KeyUsed, signs.on_used)
        audit = Follower(process.bus, process.database, "accounts", "audit", dict.fromkeys(FOLLOWED, log_public_event))
        running = [
            process.tasks.create_task(Relay(context.store, process.bus, publish).run()),
            process.tasks.create_task(audit.run()),
            process.tasks.create_task(signs.run()),
            process.tasks.create_task(run_mailroom(context, mailer)),
            process.tasks.create_task(keep_house(process.database)),
        ]
        yield
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


service = Service(
    name="accounts",
    schema=files(__package__).joinpath("schema.sql").read_text(),
    routes=(
        Route("/api/v1/auth"),
        Route("/api/v1/account"),
        Route("/api/v1/audit"),
        Route("/api/v1/operator"),
    ),
    http=http,
    work=work,
    commands={"first-run": commands.first_run, "keys create": commands.create_key, "replay": commands.replay},
)
