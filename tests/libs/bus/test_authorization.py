"""deploy/nats.conf under a real server: what each service may do on the bus."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from nats.aio.client import Client

from libs.bus.connect import Bus
from libs.bus.streams import ensure_events, ensure_parked, ensure_points
from libs.contracts.accounts import RESOLVE_KEY, RING_BEAT
from libs.contracts.ingest import STATS_FORGOTTEN, points_subject
from libs.runtime import children
from libs.runtime.settings import Settings
from tests.containers import NATS_PASSWORDS
from tests.servers import TESTS_PASSWORD, Running, start

USERS = ("ezstat", "accounts", "ingest", "web")
CONFIGURATION = Path(__file__).parents[3] / "deploy" / "nats.conf"


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The configuration as it is, but for addresses and folders."""
    folder = tmp_path_factory.mktemp("deployed")
    port, monitor = children.free_port(), children.free_port()
    text = CONFIGURATION.read_text()
    for here, there in (("0.0.0.0:4222", f"127.0.0.1:{port}"), (":8222", f":{monitor}"), ("/data", str(folder))):
        assert here in text
        text = text.replace(here, there)
    (folder / "deployed.conf").write_text(text)
    child = children.nats(folder, port, monitor, TESTS_PASSWORD)
    child = replace(
        child,
        argv=(child.argv[0], "-c", str(folder / "deployed.conf")),
        environ={"NATS_STORE": "1G", **dict.fromkeys(NATS_PASSWORDS, f'"{TESTS_PASSWORD}"')},
    )
    running = start(child, folder / "nats.log")
    yield running
    running.kill()


async def refused(deployed: Running, user: str, *, publishes: str = "", listens_to: str = "") -> bool:
    """Does the server refuse this user that?"""
    said: list[str] = []

    async def on_error(error: Exception) -> None:
        said.append(str(error).lower())

    client = Client()
    await client.connect(re.sub("//ezstat:", f"//{user}:", deployed.url), error_cb=on_error)
    try:
        inbox = client.new_inbox()
        echo = await client.subscribe(inbox)
        if publishes:
            await client.publish(publishes, b"")
        if listens_to:
            await client.subscribe(listens_to)
        await client.publish(inbox, b"")  # nats-py's flush would overtake what it is to follow
        await echo.next_msg(5)
    finally:
        await client.close()
    assert all("permissions violation" in error for error in said)
    return bool(said)


@pytest.mark.parametrize(
    ("subject", "allowed"),
    [
        (points_subject(0), {"ezstat", "ingest"}),
        ("ingest.StatCreated.account", {"ezstat", "ingest"}),
        ("accounts.AccountOpened.account", {"ezstat", "accounts"}),
        (RESOLVE_KEY, set(USERS)),
        (RING_BEAT, set(USERS)),
    ],
)
async def test_a_service_publishes_in_its_own_name_only(deployed: Running, subject: str, allowed: set[str]) -> None:
    assert {user for user in USERS if not await refused(deployed, user, publishes=subject)} == allowed


@pytest.mark.parametrize(
    ("subject", "allowed"),
    [(RESOLVE_KEY, {"ezstat", "accounts"}), (STATS_FORGOTTEN, set(USERS))],
)
async def test_nobody_but_a_service_hears_its_questions(deployed: Running, subject: str, allowed: set[str]) -> None:
    assert {user for user in USERS if not await refused(deployed, user, listens_to=subject)} == allowed


async def test_services_may_make_the_streams_that_they_need(deployed: Running) -> None:
    for user in ("accounts", "ingest"):
        bus = Bus.start(re.sub("//ezstat:", f"//{user}:", deployed.url), user)
        await bus.wait(5)
        await ensure_events(bus, user)
        await ensure_parked(bus)
        if user == "ingest":
            await ensure_points(bus, Settings(stream_bytes=64 << 20))
        await bus.close()
