"""Fixtures for all tests."""

from collections.abc import Iterator

import pytest

from tests.servers import Servers, real_servers


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with real_servers(tmp_path_factory.mktemp("servers")) as running:
        yield running
