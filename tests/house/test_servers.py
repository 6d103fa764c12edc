"""Which servers the tests run on."""

import socket
import tempfile
from pathlib import Path

import pytest

from tests import containers, servers


@pytest.fixture
def no_containers(monkeypatch: pytest.MonkeyPatch) -> None:
    def started(_: Path) -> None:
        raise AssertionError("containers were started")

    monkeypatch.setattr(containers, "container_servers", started)


def kind(folder: Path) -> str:
    return servers.real_servers(folder).func.__name__  # type: ignore[attr-defined]


@pytest.mark.usefixtures("no_containers")
def test_without_an_engine_the_wheels_servers_are_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SERVERS", "auto")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody")
    assert kind(tmp_path) == "local_servers"


@pytest.mark.usefixtures("no_containers")
def test_a_hung_engine_is_given_up_soon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as engine:
        engine.bind(f"{folder}/engine")
        engine.listen()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}/engine")
        monkeypatch.setattr(containers, "PATIENCE", 0.2)
        assert not containers.available()


@pytest.mark.parametrize(("there", "taken"), [(True, "container_servers"), (False, "local_servers")])
def test_auto_takes_containers_where_everything_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, there: bool, taken: str
) -> None:
    monkeypatch.delenv("SERVERS", raising=False)
    monkeypatch.setattr(containers, "available", lambda: there)
    assert kind(tmp_path) == taken


def test_what_is_asked_for_is_not_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(containers, "available", lambda: False)
    monkeypatch.setenv("SERVERS", "containers")
    assert kind(tmp_path) == "container_servers"
    monkeypatch.setenv("SERVERS", "docker")
    with pytest.raises(ValueError, match="SERVERS=docker"):
        kind(tmp_path)
