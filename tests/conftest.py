"""Fixtures for all tests."""

from collections.abc import Iterator

import pytest

from tests.running import Ezstat, running
from tests.servers import Servers, real_servers


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with real_servers(tmp_path_factory.mktemp("servers")) as started:
        yield started


@pytest.fixture(scope="session")
def ezstat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ezstat]:
    """One installation for all tests that only use it as users do."""
    with running(
        tmp_path_factory.mktemp("ezstat") / "data", EZSTAT_LOGIN_RATE="100000", EZSTAT_PUBLIC_RATE="100000"
    ) as started:
        yield started
