"""The first minutes of an installation, each time in a database of its own."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from importlib.resources import files
from typing import Any

import pytest

from libs.bus.connect import Bus
from libs.eventstore.database import Database
from libs.eventstore.migrate import migrate
from libs.eventstore.store import EventStore
from libs.runtime.clock import SystemClock
from libs.runtime.settings import Settings
from services.accounts import queries
from services.accounts.application import opening, signing
from services.accounts.application.context import Context
from services.accounts.barrier import Barrier
from services.accounts.passwords import Passwords
from services.accounts.projections import project
from tests.libs.databases import fresh_database
from tests.servers import Servers

PASSWORD = "correct horse battery"
New = Callable[..., AbstractAsyncContextManager[Context]]


@pytest.fixture
def installation(servers: Servers, settings: Settings, bus: Bus) -> New:
    """A new installation with settings of its own."""

    @asynccontextmanager
    async def new(**changed: Any) -> AsyncIterator[Context]:
        with fresh_database(servers.database_url) as dsn:
            migrate(dsn, [("accounts", files("services.accounts").joinpath("schema.sql").read_text())])
            database, store, passwords = Database(dsn, "ezstat_app"), EventStore("accounts", dsn, project), Passwords()
            await database.open()
            yield Context(
                settings=replace(settings, **changed), clock=SystemClock(), store=store, database=database,
                passwords=passwords, barrier=Barrier(bus, database, deadline=0.5),
            )  # fmt: skip
            await database.close()
            await store.close()
            passwords.close()

    return new


def who(email: str) -> opening.Newcomer:
    return opening.newcomer(email, "Acme", "Europe/Berlin")


async def test_the_first_person_owns_the_account_that_the_self_hosted_key_opened(installation: New) -> None:
    async with installation() as context:
        first = await opening.ensure_first_account(context)
        alice = await opening.sign_up(context, who("alice@example.org"), PASSWORD, "x")
        bob = await opening.sign_up(context, who("bob@example.org"), PASSWORD, "x")
        assert alice.account == first
        assert bob.account != first
        async with context.database.house() as cursor:
            account = await queries.account(cursor, alice.account)
        assert account is not None
        assert (account.name, account.first, account.unlimited) == ("Acme", True, True)


async def test_without_a_self_hosted_key_nothing_is_there_until_somebody_signs_up(installation: New) -> None:
    async with installation(api_key="") as context:
        assert await opening.ensure_first_account(context) is None
        alice = await opening.sign_up(context, who("alice@example.org"), PASSWORD, "x")
        async with context.database.house() as cursor:
            first = await queries.first_account(cursor)
        assert first is not None
        assert (first.account, first.unlimited) == (alice.account, False)


async def test_the_set_up_link_makes_the_operator_once(installation: New) -> None:
    async with installation(api_key="") as context:
        with pytest.raises(opening.SetupRefused):
            await opening.set_up(context, "not the token", who("eve@example.org"), PASSWORD, "x")
        token = opening.setup_token(context)
        alice = await opening.set_up(context, token, who("alice@example.org"), PASSWORD, "x")
        assert await opening.ensure_first_account(context) == alice.account
        with pytest.raises(opening.SetupRefused):
            await opening.set_up(context, token, who("eve@example.org"), PASSWORD, "x")


async def test_the_environment_names_the_first_user_and_starts_of_many_processes_make_one(installation: New) -> None:
    async with installation(admin_email="ops@example.org", admin_password=PASSWORD) as context:
        for _ in range(2):
            await opening.ensure_first_account(context)
            await opening.ensure_first_user(context)
        signed_in = await signing.sign_in(context, "ops@example.org", PASSWORD, "x")
        assert signed_in.account == await opening.ensure_first_account(context)
        assert not await opening.is_unclaimed(context)
