"""Fixtures of the HTTP tests."""

from collections.abc import AsyncIterator, Iterator

import pytest

from libs.runtime import children
from tests.libs.http.house import House, open_house
from tests.servers import Running, Servers, start


@pytest.fixture(scope="session")
def own_nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A bus on which nobody else answers for accounts."""
    folder = tmp_path_factory.mktemp("nats")
    folder.chmod(0o755)
    child = children.nats(folder, children.free_port(), children.free_port(), "test-password")
    running = start(child, folder / "nats.log")
    yield running
    running.kill()


@pytest.fixture
async def house(servers: Servers, own_nats: Running) -> AsyncIterator[House]:
    async with open_house(own_nats.child.url, servers.redis_url) as opened:
        yield opened
