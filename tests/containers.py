"""Real Postgres, NATS and Redis for tests, as containers of the images and with the configuration of compose.yaml."""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
import docker.errors
import requests
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from libs.runtime.children import free_port
from libs.runtime.probes import postgres_answers, redis_answers
from tests.servers import ENDING, TESTS_PASSWORD, Servers, await_answer

DEFAULT_IMAGES = {"POSTGRES_IMAGE": "postgres:18", "NATS_IMAGE": "nats:2-alpine", "REDIS_IMAGE": "redis:8-alpine"}
IMAGES = {name: os.environ.get(name) or default for name, default in DEFAULT_IMAGES.items()}
NATS_PASSWORDS = ("NATS_PASSWORD", "NATS_ACCOUNTS_PASSWORD", "NATS_INGEST_PASSWORD", "NATS_WEB_PASSWORD")
PATIENCE = 3.0
"""Seconds that an engine may take to answer."""

_DEPLOY = Path(__file__).parent.parent / "deploy"


def available() -> bool:
    """Is there an engine that answers, and has it all three images? Nothing is pulled to find out."""
    try:
        client = docker.from_env(timeout=PATIENCE)
        for image in IMAGES.values():
            client.images.get(image)
    except (docker.errors.DockerException, requests.RequestException):
        return False
    return True


@dataclass
class Contained:
    """A server in a container. Its port on this machine stays the same when it is started again."""

    url: str
    container: DockerContainer
    ready: Callable[[], bool]

    def start(self) -> None:
        self.container.get_wrapped_container().start()
        self.await_answer()

    def await_answer(self) -> None:
        await_answer(self.container.image, self.ready, self._ended, self._log)

    def kill(self, sig: signal.Signals = signal.SIGKILL) -> None:
        container = self.container.get_wrapped_container()
        container.kill(sig.name)
        if sig in ENDING:
            container.wait(timeout=15)

    # Signals, not the engine's "pause": a paused container could not be killed without letting it run on.
    def freeze(self) -> None:
        self.kill(signal.SIGSTOP)

    def thaw(self) -> None:
        self.kill(signal.SIGCONT)

    def _ended(self) -> bool:
        self.container.reload()
        return self.container.status == "exited"

    def _log(self) -> str:
        return self.container.get_wrapped_container().logs().decode(errors="replace")


@contextmanager
def container_servers(folder: Path) -> Iterator[Servers]:
    """All three, removed with their volumes at the end whatever happened."""
    # The container that clears up after testcontainers is one more image that may not be here.
    testcontainers_config.ryuk_disabled = True
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        postgres, nats, redis = _postgres(stack), _nats(stack), _redis(stack)
        for server in (postgres, nats, redis):
            server.await_answer()
        yield Servers(postgres, nats, redis, folder)


def _postgres(stack: ExitStack) -> Contained:
    port = free_port()
    container = (
        DockerContainer(IMAGES["POSTGRES_IMAGE"])
        .with_bind_ports(5432, port)
        .with_envs(
            POSTGRES_USER="ezstat",
            POSTGRES_PASSWORD=TESTS_PASSWORD,
            POSTGRES_DB="postgres",
            POSTGRES_INITDB_ARGS="--data-checksums --encoding=UTF8 --locale=C",
        )
    )
    host = stack.enter_context(container).get_container_host_ip()
    url = f"postgresql://ezstat:{TESTS_PASSWORD}@{host}:{port}/postgres"
    return Contained(url, container, lambda: postgres_answers(host, port))


def _nats(stack: ExitStack) -> Contained:
    port = free_port()
    container = (
        DockerContainer(IMAGES["NATS_IMAGE"], entrypoint=["nats-server", "-c", "/nats.conf"])
        .with_bind_ports(4222, port)
        .with_copy_into_container((_DEPLOY / "nats.conf").read_bytes(), "/nats.conf")
        .with_envs(NATS_STORE="20G", **dict.fromkeys(NATS_PASSWORDS, f'"{TESTS_PASSWORD}"'))
    )
    host = stack.enter_context(container).get_container_host_ip()
    return Contained(f"nats://ezstat:{TESTS_PASSWORD}@{host}:{port}", container, lambda: _nats_greets(host, port))


def _nats_greets(host: str, port: int) -> bool:
    """NATS speaks first, once it has recovered its streams."""
    try:
        with socket.create_connection((host, port), timeout=1) as connection:
            return connection.recv(5) == b"INFO "
    except OSError:
        return False


def _redis(stack: ExitStack) -> Contained:
    port = free_port()
    container = (
        DockerContainer(IMAGES["REDIS_IMAGE"], user="redis")
        .with_command(["redis-server", "/ezstat.conf", "--requirepass", TESTS_PASSWORD])
        .with_bind_ports(6379, port)
        .with_copy_into_container((_DEPLOY / "redis.conf").read_bytes(), "/ezstat.conf")
    )
    host = stack.enter_context(container).get_container_host_ip()
    url = f"redis://:{TESTS_PASSWORD}@{host}:{port}/0"
    return Contained(url, container, lambda: redis_answers(host, port, TESTS_PASSWORD))
