"""A real server on a real socket inside the test's own loop, and a client that sends bytes as they are."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from libs.http.hot import Guards, HotPaths, HotRequest, HotRoute, hot_response
from libs.http.proxies import Proxies
from libs.http.server import Server, make_server

OK = hot_response(200, b'{"status":200,"msg":"ok"}')


async def echo_app(scope: Any, receive: Any, send: Any) -> None:
    """Answers `<path> <body>`; a path `/slow` waits until its scope's state says go."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    text = scope["raw_path"] + b" " + body
    headers = [(b"content-length", b"%d" % len(text))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text})


class Recorder:
    """A hot handler that keeps what it got; it answers at once, or when told to if `hold` is set."""

    def __init__(self) -> None:
        self.requests: list[HotRequest] = []
        self.hold = False

    def __call__(self, request: HotRequest) -> None:
        self.requests.append(request)
        if not self.hold:
            request.answer(answer_to(request))

    @property
    def bodies(self) -> list[bytes]:
        return [request.body for request in self.requests]


def answer_to(request: HotRequest) -> bytes:
    return hot_response(200, b"hot " + request.body)


@dataclass
class Serving:
    server: Server
    paths: HotPaths
    recorder: Recorder
    port: int

    async def connect(self) -> "Wire":
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        return Wire(reader, writer)

    async def exchange(self, data: bytes) -> bytes:
        """Everything the server says to `data` until it, or after our half-close it, ends the connection."""
        wire = await self.connect()
        wire.send(data)
        wire.writer.write_eof()
        return await wire.rest()


@dataclass
class Wire:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The next response: status, headers, body by Content-Length."""
        async with asyncio.timeout(5):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return int(first.split()[1]), headers, body

    async def rest(self) -> bytes:
        """All bytes until the server ends the connection."""
        async with asyncio.timeout(5):
            data = await self.reader.read()
        self.writer.close()
        return data

    def close(self) -> None:
        self.writer.close()


@contextlib.asynccontextmanager
async def serving(
    app: Any = echo_app,
    guards: Guards | None = None,
    limit: int = 1 << 20,
    proxies: Proxies | None = None,
    require_https: bool = False,
) -> AsyncIterator[Serving]:
    recorder = Recorder()
    routes = {b"/ez": HotRoute(recorder, limit), b"/c": HotRoute(recorder, limit)}
    paths = HotPaths(routes, guards or Guards(drain_seconds=0.05), proxies, require_https)
    listening = socket.create_server(("127.0.0.1", 0))
    server = make_server(app, paths)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield Serving(server, paths, recorder, listening.getsockname()[1])
    finally:
        server.stop()
        await task


def post(body: bytes, path: bytes = b"/ez", extra: bytes = b"", version: bytes = b"1.1") -> bytes:
    return b"POST %s HTTP/%s\r\nHost: t\r\nContent-Length: %d\r\n%s\r\n%s" % (path, version, len(body), extra, body)


def get(path: bytes, extra: bytes = b"", version: bytes = b"1.1") -> bytes:
    return b"GET %s HTTP/%s\r\nHost: t\r\n%s\r\n" % (path, version, extra)
