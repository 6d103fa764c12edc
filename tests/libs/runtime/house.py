"""A house with two small services of its own, run by the real `ezstat` command."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from libs.runtime.children import free_port
from libs.runtime.folder import DataFolder

ROOT = Path(__file__).parents[3]

SERVICES = """
from contextlib import asynccontextmanager
from types import SimpleNamespace
import asyncio, json, os
from fastapi import FastAPI, Request
from libs.http.hot import hot_response
from libs.runtime.service import HttpSide, Route, Service

def app(name):
    app = FastAPI(openapi_url=None)
    @app.get("/livez")
    @app.get("/readyz")
    def health():
        return {"ok": True}
    @app.get("/live")
    async def live():
        from fastapi.responses import StreamingResponse
        async def lines():
            yield "data: first\\n\\n"
            await asyncio.sleep(60)
        return StreamingResponse(lines(), media_type="text/event-stream")
    @app.api_route("/{path:path}", methods=["GET", "POST"])
    async def echo(request: Request):
        forwarded = {k: v for k, v in request.headers.items() if k.startswith("x-forwarded") or k == "host"}
        return {"service": name, "path": request.scope["raw_path"].decode(), "query": request.url.query,
                "pid": os.getpid(), "forwarded": forwarded, "size": len(await request.body())}
    return app

def service(name, routes, **more):
    @asynccontextmanager
    async def http(process):
        def hot(request):
            request.answer(hot_response(200, json.dumps({"hot": name}).encode()))
        yield HttpSide(app(name), {b"/hot/" + name.encode(): hot})
    @asynccontextmanager
    async def work(process):
        async def forever():
            await asyncio.Event().wait()
        process.tasks.create_task(forever())
        yield
    return Service(name, "", routes, http, work, **more)

async def first_run(process):
    await process.bus.wait(5)
    async with process.database.house() as cursor:
        await cursor.execute("select 1")
    return SimpleNamespace(url=process.settings.url + "/set-up/once", curl="curl " + process.settings.url)

async def greet(process, arguments):
    return "hello " + " ".join(arguments)

alpha = service("alpha", [
    Route("/a"), Route("/a/exact", exact=True), Route("/shared", credential=("sk_",)), Route("/token", secret=True),
    Route("/live", exact=True, streams=True), Route("/upload", body=8 << 20, streams=True),
], commands={"first-run": first_run, "keys create": greet})
beta = service("beta", [Route("/"), Route("/a/b"), Route("/shared"), Route("/a", query="site_id")])
"""


@dataclass
class House:
    """One `ezstat up` with its own port and data folder."""

    folder: Path
    environ: dict[str, str]
    port: int
    process: subprocess.Popen[str] | None = None
    lines: list[str] = field(default_factory=list)

    @property
    def data(self) -> Path:
        return Path(self.environ["EZSTAT_DATA"])

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "libs.runtime.cli", *words],
            env=self.environ, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip

    def up(self, *words: str) -> None:
        """Start and wait until it has greeted; fails with what it said when it ends instead."""
        with (self.folder / "errors.log").open("a") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "libs.runtime.cli", *(words or ("up",))],
                env=self.environ, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True,
            )  # fmt: skip
        assert self.process.stdout is not None
        self.lines = []
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if "Stop it with Ctrl-C" in line:
                return
        raise AssertionError(f"ended with {self.process.wait(10)}\n{(self.folder / 'errors.log').read_text()[-3000:]}")

    def ps(self) -> dict[str, dict[str, Any]]:
        rows = json.loads(self.command("ps", "--json").stdout)
        return {row["name"]: row for row in rows}

    def pids(self) -> set[int]:
        """All processes below, however deep."""
        assert self.process is not None
        return {child.pid for child in psutil.Process(self.process.pid).children(recursive=True)}

    def get(self, path: str, **headers: str) -> Any:
        """JSON of a GET."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    async def aget(self, path: str, **headers: str) -> Any:
        return await asyncio.to_thread(lambda: self.get(path, **headers))

    def stop(self, sig: signal.Signals = signal.SIGTERM, within: float = 10) -> int:
        assert self.process is not None
        self.process.send_signal(sig)
        return self.process.wait(within)

    def end(self) -> None:
        """At the end of a test: nothing of it stays, whatever happened."""
        left = {component.pid for component in DataFolder(self.data).read().components if component.pid is not None}
        if self.process is not None and self.process.poll() is None:
            left |= self.pids() | {self.process.pid}
            with suppress(subprocess.TimeoutExpired):
                self.stop(within=12)
        for pid in left:
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                if str(self.folder) in " ".join([*process.cmdline(), *process.environ().values()]):
                    process.kill()


def build(folder: Path, **environ: str) -> House:
    """A house in `folder`: its services shadow the real ones, because they come first on the path under their name."""
    code = folder / "code"
    metadata = code / "ezstat-0.dist-info"
    if not metadata.exists():
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: ezstat\nVersion: 0\n")
        (metadata / "entry_points.txt").write_text(
            "[ezstat.services]\nalpha = small_services:alpha\nbeta = small_services:beta\n"
        )
        (code / "small_services.py").write_text(SERVICES)
    port = free_port()
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    given = {"PYTHONPATH": f"{code}:{ROOT}", "EZSTAT_DATA": str(folder / "data"), "PORT": str(port), **environ}
    return House(folder, {**kept, **given}, port)
