from collections.abc import AsyncIterator, Iterator

import pytest

from libs.bus.connect import Bus
from tests.servers import Servers, real_servers


@pytest.fixture
async def bus(servers: Servers) -> AsyncIterator[Bus]:
    bus = Bus.start(servers.nats_url, "test")
    await bus.wait(5)
    yield bus
    await bus.close()


@pytest.fixture(scope="package")
def own_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Servers that these tests may kill, apart from those that all tests share."""
    with real_servers(tmp_path_factory.mktemp("own")) as running:
        yield running
