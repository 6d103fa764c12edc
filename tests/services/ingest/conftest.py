from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.servers import Servers, local_servers
from tests.services.ingest.stage import Stage
from tests.services.ingest.stage import stage as open_stage


@pytest.fixture(scope="package")
def own_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Servers whose streams nobody else uses."""
    with local_servers(tmp_path_factory.mktemp("ingest")) as running:
        yield running


@pytest.fixture
async def stage(own_servers: Servers, tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_stage(own_servers, tmp_path) as opened:
        yield opened
