"""Services in processes of their own, and Debian's nginx in front of them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from libs.runtime.children import free_port
from libs.runtime.probes import http_status
from tests import needs

COMMAND = (sys.executable, "-P", "-m", "libs.runtime.cli")


@contextmanager
def serving(environ: Mapping[str, str], log: Path, *services: str) -> Iterator[int]:
    """A real `ezstat serve` of these services, on a port of its own."""
    port = free_port()
    command = [*COMMAND, "serve", *services, "--port", str(port)]
    with log.open("a") as errors:
        process = subprocess.Popen(command, env=environ, stderr=errors, start_new_session=True)
    with _ended(process):
        _wait_for(port, process, log)
        yield port


@dataclass
class Nginx:
    """A running nginx; `log` holds its access log and its errors."""

    port: int
    log: Path

    def lines(self) -> str:
        return self.log.read_text()


@contextmanager
def gateway(environ: Mapping[str, str], folder: Path, upstreams: Mapping[str, int]) -> Iterator[Nginx]:
    """nginx with the configuration that `ezstat gateway-config` prints, its services on these ports."""
    program, port = needs.program("nginx"), free_port()
    folder.mkdir()
    where = [f"--upstream={service}=127.0.0.1:{at}" for service, at in upstreams.items()]
    words = ("gateway-config", f"--listen=127.0.0.1:{port}", *where)
    (folder / "gateway.conf").write_text(_printed(environ, *words))
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
    user = "user root;\n" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user}daemon off;\npid {folder}/pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{\nclient_body_temp_path {folder}/body;\n{temporary}include {folder}/gateway.conf;\n}}\n"
    )
    log = folder / "log"
    command = [program, "-c", folder / "nginx.conf", "-p", folder]
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
    with _ended(process):
        _wait_for(port, process, log)
        yield Nginx(port, log)


def _printed(environ: Mapping[str, str], *words: str) -> str:
    made = subprocess.run([*COMMAND, *words], env=environ, capture_output=True, text=True, timeout=30, check=False)
    assert made.returncode == 0, made.stderr
    return made.stdout


@contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    while http_status("127.0.0.1", port, "/livez") == 0:
        assert process.poll() is None, log.read_text()[-2000:]
        assert time.monotonic() < deadline, log.read_text()[-2000:]
        time.sleep(0.05)
