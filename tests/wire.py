"""HTTP as bytes on a socket: for requests that no client library would send."""

import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Reply:
    """One response. `headers` have lower-case names; of repeated ones the last."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Request:
    """A request as it goes on the wire. Content-Length is added where there is a body and nothing else says its length.

    KEY in target, headers or body stands for the sender's key.
    """

    method: str
    target: str | bytes
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    version: str = "1.1"

    def with_header(self, name: str, value: str) -> "Request":
        return replace(self, headers=(*self.headers, (name, value)))

    def wire(self, key: str = "") -> bytes:
        """The bytes."""
        body = self.body.replace(b"KEY", key.encode())
        names = {name.lower() for name, _ in self.headers}
        lines = [] if "host" in names else ["Host: localhost"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if (self.body or self.method == "POST") and not names & {"content-length", "transfer-encoding"}:
            lines.append(f"Content-Length: {len(body)}")
        target = self.target if isinstance(self.target, bytes) else self.target.encode()
        first = self.method.encode() + b" " + target + f" HTTP/{self.version}\r\n".encode()
        head = first + "".join(f"{line}\r\n" for line in lines).encode("latin-1") + b"\r\n"
        return head.replace(b"KEY", key.encode()) + body


class Connection:
    """A socket that reads answers one by one."""

    def __init__(self, port: int, timeout: float = 15) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self._data = b""
        self._ended = False

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send; a server that has ended the connection meanwhile is no error: what it said is still to be read."""
        with suppress(OSError):
            self.socket.sendall(data)

    def half_close(self) -> None:
        with suppress(OSError):  # as in `send`
            self.socket.shutdown(socket.SHUT_WR)

    def _more(self) -> bool:
        try:
            data = self.socket.recv(65536)
        except ConnectionError:
            data = b""
        self._data += data
        self._ended = not data
        return bool(data)

    def _until(self, mark: bytes) -> bytes | None:
        while mark not in self._data:
            if not self._more():
                return None
        found, _, self._data = self._data.partition(mark)
        return found

    def _exactly(self, n: int) -> bytes:
        while len(self._data) < n and self._more():
            pass
        found, self._data = self._data[:n], self._data[n:]
        return found

    def reply(self, *, to_head: bool = False) -> Reply | None:
        """The next final answer (a 100 is passed over); None when the server ended the connection instead."""
        while True:
            head = self._until(b"\r\n\r\n")
            if head is None:
                return None
            first, *lines = head.decode("latin-1").split("\r\n")
            status = int(first.split(" ")[1])
            if status >= 200:
                break
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return Reply(status, headers, b"" if to_head else self._body(status, headers))

    def _body(self, status: int, headers: dict[str, str]) -> bytes:
        if status in (204, 304):
            return b""
        if "content-length" in headers:
            return self._exactly(int(headers["content-length"]))
        if headers.get("transfer-encoding") != "chunked":
            while self._more():
                pass
            found, self._data = self._data, b""
            return found
        parts = []
        while size := int((self._until(b"\r\n") or b"0").partition(b";")[0], 16):
            parts.append(self._exactly(size))
            self._until(b"\r\n")
        self._until(b"\r\n")
        return b"".join(parts)

    def replies(self) -> Iterator[Reply]:
        """All answers until the server ends the connection."""
        while (reply := self.reply()) is not None:
            yield reply

    @property
    def ended(self) -> bool:
        """Has the server ended the connection (after what was read)?"""
        return self._ended or not self._more()


def exchange(port: int, data: bytes, *, method: str = "", half_close: bool = False) -> Reply | None:
    """The first answer to some bytes on a new connection; None when the server ended it without one."""
    with Connection(port) as connection:
        connection.send(data)
        if half_close:
            connection.half_close()
        return connection.reply(to_head=method == "HEAD")


def post(target: str, body: bytes | str, content_type: str = FORM, headers: Sequence[tuple[str, str]] = ()) -> Request:
    """A POST with a body."""
    raw = body.encode() if isinstance(body, str) else body
    typed = (("Content-Type", content_type),) if content_type else ()
    return Request("POST", target, raw, (*typed, *headers))


def get(target: str | bytes, headers: Sequence[tuple[str, str]] = ()) -> Request:
    return Request("GET", target, b"", tuple(headers))
