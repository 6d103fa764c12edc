"""A message nobody can read does not hold up the others: the operator sees it and may have it tried again."""

import asyncio
from collections.abc import Iterator

import nats
import pytest

from libs.contracts.ingest import points_subject
from tests.eventually import eventually
from tests.running import Ezstat, running


@pytest.fixture(scope="module")
def ezstat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ezstat]:
    """An installation of its own: what is parked here must not show elsewhere."""
    with running(tmp_path_factory.mktemp("parked") / "data") as started:
        yield started


async def test_the_operator_sees_what_could_not_be_read_and_has_it_tried_again(ezstat: Ezstat) -> None:
    client = await nats.connect(ezstat.urls["nats"])
    try:
        await client.jetstream().publish(points_subject(0), b"no frame at all")
    finally:
        await client.close()

    async def is_shown() -> bool:
        return f"writer on {points_subject(0)}" in await asyncio.to_thread(ezstat.command, "parked")

    await eventually(is_shown, within=10)
    assert "ingest: 1 are tried again" in ezstat.command("parked", "--again", "--service", "ingest")
    api = ezstat.sign_up().api()
    assert api.post("/api/v1/stats/after it/count", json={"count": 1}).status_code == 200
    await eventually(lambda: api.get("/api/v1/stats/after%20it").json()["summary"]["total"] == 1, within=10)
