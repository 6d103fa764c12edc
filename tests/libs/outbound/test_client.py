"""The guarded client reaches what is public and nothing else, however the address is written."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpcore
import httpx
import pytest

from libs.outbound.addresses import is_public, networks
from libs.outbound.client import guarded_client, read_at_most

REFUSED = [
    "127.0.0.1",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.1.1",
    "192.0.0.8",
    "192.0.0.170",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "192.88.99.1",
    "::1",
    "::",
    "fe80::1",
    "fc00::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:100.64.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2001::1",
    "::127.0.0.1",
    "fec0::1",
    "2001:db8::1",
    "5f00::1",
    "fe80::1%lo",
]
SPELLINGS = (
    "127.0.0.1", "localhost", "localhost.", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "[::1]",
    "[::ffff:127.0.0.1]", "0.0.0.0", "user:pw@127.0.0.1", "①②⑦.⓪.⓪.①",
)  # fmt: skip


@pytest.mark.parametrize("address", REFUSED)
def test_a_private_or_special_address_is_refused(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "64:ff9b::101:101"])
def test_a_public_address_may_be_reached(address: str) -> None:
    assert is_public(address)


def test_the_operator_may_open_a_private_network_also_in_its_mapped_form() -> None:
    allowed = networks("10.0.0.0/8, fd00::/8")
    assert is_public("10.1.2.3", allowed)
    assert is_public("::ffff:10.1.2.3", allowed)
    assert is_public("fd12::1", allowed)
    assert not is_public("192.168.1.1", allowed)


class Dialled(httpcore.AsyncNetworkBackend):
    """Notes what would be dialled, and connects nowhere."""

    def __init__(self) -> None:
        self.addresses: list[str] = []

    async def connect_tcp(self, host: str, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        self.addresses.append(host)
        raise httpcore.ConnectError("this test connects nowhere")


@pytest.fixture
def inside() -> Iterator[ThreadingHTTPServer]:
    """A server on loopback that notes its visitors and sends them on to another private address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            visits.append(self.path)
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{server.server_port}/inner")
            self.send_header("Content-Length", "200000")
            self.end_headers()
            self.wfile.write(b"x" * 200_000)

        def log_message(self, *_: Any) -> None:
            pass

    visits: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.visits = visits  # type: ignore[attr-defined]
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("host", SPELLINGS)
async def test_no_spelling_of_a_private_address_is_dialled(host: str, inside: ThreadingHTTPServer) -> None:
    dialled = Dialled()
    async with guarded_client(ports=(inside.server_port,), dialler=dialled) as client:
        with pytest.raises((httpx.ConnectError, httpx.InvalidURL)):
            await client.get(f"http://{host}:{inside.server_port}/")
    assert dialled.addresses == []


@pytest.mark.parametrize("url", ["https://1.1.1.1:22/", "http://1.1.1.1/", "https://1.1.1.1:8443/"])
async def test_only_the_port_of_https_is_dialled(url: str) -> None:
    dialled = Dialled()
    async with guarded_client(dialler=dialled) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(url)
    assert dialled.addresses == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "gopher://127.0.0.1/", "ftp://1.1.1.1/"])
async def test_only_http_is_spoken(url: str) -> None:
    async with guarded_client() as client:
        with pytest.raises(httpx.UnsupportedProtocol):
            await client.get(url)


Resolver = Callable[..., Awaitable[list[Any]]]


def answering(monkeypatch: pytest.MonkeyPatch, *rounds: list[str]) -> None:
    """A name server that gives these addresses, one list after the other, and the last one for ever."""
    left = list(rounds)

    async def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        addresses = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


async def test_a_name_with_one_private_address_among_public_ones_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, ["93.184.216.34", "127.0.0.1"])
    dialled = Dialled()
    async with guarded_client(dialler=dialled) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("https://both.example/")
    assert dialled.addresses == []


async def test_a_rebinding_name_server_only_ever_gets_its_public_address_dialled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answering(monkeypatch, ["1.1.1.1"], ["127.0.0.1"])
    dialled = Dialled()
    async with guarded_client(dialler=dialled) as client:
        for _ in range(4):
            with pytest.raises(httpx.ConnectError):
                await client.get("https://rebind.example/")
    assert dialled.addresses == ["1.1.1.1"]


async def test_the_next_address_is_tried_when_one_can_not_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, ["2606:4700::1111", "1.1.1.1"])
    dialled = Dialled()
    async with guarded_client(dialler=dialled) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("https://both.example/")
    assert dialled.addresses == ["2606:4700::1111", "1.1.1.1"]


async def test_a_redirect_is_not_followed_and_an_answer_is_read_up_to_its_limit(inside: ThreadingHTTPServer) -> None:
    async with guarded_client(ports=(inside.server_port,), allowed=networks("127.0.0.0/8")) as client:
        request = client.build_request("GET", f"http://127.0.0.1:{inside.server_port}/outer")
        response = await client.send(request, stream=True)
        assert response.status_code == 302
        assert len(await read_at_most(response)) == 65_536
    assert inside.visits == ["/outer"]  # type: ignore[attr-defined]


async def test_proxies_of_the_environment_are_ignored(
    monkeypatch: pytest.MonkeyPatch, inside: ThreadingHTTPServer
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{inside.server_port}")
    answering(monkeypatch, ["1.1.1.1"])
    dialled = Dialled()
    async with guarded_client(dialler=dialled) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("https://public.example/")
    assert dialled.addresses == ["1.1.1.1"]
