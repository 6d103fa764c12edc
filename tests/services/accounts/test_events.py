"""What accounts tells the others, and what it writes down of what they tell."""

import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import Cursor

from libs.bus.follower import Follower
from libs.contracts.accounts import AccountClosed, AccountOpened, KeyIssued, KeyRevoked
from libs.contracts.envelope import Event
from libs.contracts.ingest import StatCreated
from services.accounts.domain import Account, ApiKey, User
from services.accounts.publish import publish
from services.accounts.reactions import log_public_event
from tests.cast import PASSWORD, Cast, gather_cast
from tests.eventually import eventually
from tests.servers import Servers
from tests.services.accounts.installation import Installation, installed


@pytest.fixture
async def here(servers: Servers) -> AsyncIterator[Installation]:
    async with installed(servers) as installation:
        yield installation


async def test_accounts_and_keys_are_told_people_and_secrets_are_not() -> None:
    account = Account(name="Acme", timezone="UTC", first=False, unlimited=False)
    account.join(uuid4(), "alice@example.org", "owner")
    account.close()
    key = ApiKey(
        account=account.id, kind="account", name="ci", digest="00" * 32, hint="x", mode="live", scopes=[], user=None,
        site=None, expires_at=None, actor="x",
    )  # fmt: skip
    key.revoke("x")
    user = User(email="alice@example.org", password_hash="h", verified=True)
    told = [each for source in (account, key, user) for event in source.collect_events() for each in publish(event)]
    assert [type(each) for each in told] == [AccountOpened, AccountClosed, KeyIssued, KeyRevoked]
    assert {each.account for each in told} == {account.id}


async def test_events_reach_whoever_follows_them(here: Installation, servers: Servers) -> None:
    heard: list[Any] = []
    kinds: tuple[type[Event], ...] = (AccountOpened, KeyIssued, KeyRevoked, AccountClosed)
    handlers = {kind: lambda _, event: heard.append(event) for kind in kinds}
    follower = Follower(here.process.bus, here.context.database, "accounts", f"test-{uuid4().hex[:8]}", handlers)
    assert here.process.tasks is not None
    following = here.process.tasks.create_task(follower.run())
    cast: Cast = await gather_cast(here.browser)
    charlie = cast.charlie
    answer = await charlie.client.request("DELETE", "/api/v1/account", json={"password": PASSWORD})
    assert answer.status_code == 204, answer.text

    def of_charlie() -> list[type[Event]]:
        return [type(event) for event in heard if event.account == UUID(charlie.account)]

    await eventually(lambda: of_charlie() == [AccountOpened, KeyIssued, AccountClosed])
    assert (await charlie.client.get("/api/v1/auth/me")).status_code == 401
    following.cancel()
    await cast.leave()


async def test_what_other_services_tell_of_an_account_is_in_its_audit_log(here: Installation) -> None:
    cast = await gather_cast(here.browser)
    stat, account = uuid4(), UUID(cast.alice.account)
    created = StatCreated(account=account, at=time.time(), stat=stat, mode="live", name="signups", kind="counter")
    stranger = StatCreated(account=uuid4(), at=time.time(), stat=stat, mode="live", name="signups", kind="counter")

    def tell(cursor: Cursor[Any]) -> None:
        for each in (created, stranger):
            log_public_event(cursor, each)

    await here.context.store.save(also=tell)
    [event] = (await cast.alice.client.get("/api/v1/audit?limit=1")).json()["events"]
    assert (event["source"], event["action"], event["target"]) == ("ingest", "stat.created", str(stat))
    assert event["detail"] == {"mode": "live", "name": "signups", "kind": "counter"}
    await cast.leave()
