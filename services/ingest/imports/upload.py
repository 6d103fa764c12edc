"""Receiving a file: streamed to disk as it comes, raw or as the file of a multipart form."""

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Protocol

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from libs.http.errors import BadRequest, TooLarge, Unavailable

_BUFFER = 1 << 20
_HEAD_LIMIT = 16 << 10


class Received:
    """What arrived: size in bytes, SHA-256, and the name that the sender gave it ("" for none)."""

    def __init__(self) -> None:
        self.filename = ""
        self.bytes = 0
        self.sha256 = hashlib.sha256()


class _Sink(Protocol):
    def feed(self, data: bytes) -> None: ...

    def finish(self) -> None: ...


class _File:
    """Takes bytes, hands them to the disk in large pieces."""

    def __init__(self, limit: int) -> None:
        self.received = Received()
        self.waiting = bytearray()
        self._limit = limit

    def take(self, data: bytes) -> None:
        self.received.bytes += len(data)
        if self.received.bytes > self._limit:
            raise TooLarge
        self.waiting += data

    def write(self, file: IO[bytes]) -> None:
        data, self.waiting = bytes(self.waiting), bytearray()
        self.received.sha256.update(data)
        file.write(data)


class _Raw:
    """A body that is the file."""

    def __init__(self, file: _File) -> None:
        self._file = file

    def feed(self, data: bytes) -> None:
        self._file.take(data)

    def finish(self) -> None:
        if not self._file.received.bytes:
            raise BadRequest("the body is empty: send a file")


class _Form:
    """A multipart form: its first part with a file name is the file, the rest is passed over."""

    def __init__(self, file: _File, boundary: bytes) -> None:
        self._file = file
        self._found = self._inside = False
        self._name, self._value = bytearray(), bytearray()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, start, end: self._collect(self._name, data[start:end]),
                "on_header_value": lambda data, start, end: self._collect(self._value, data[start:end]),
                "on_header_end": self._header,
                "on_part_data": self._data,
                "on_part_end": self._end,
            },
        )

    def feed(self, data: bytes) -> None:
        try:
            self._parser.write(data)
        except MultipartParseError:
            raise BadRequest("the form is not valid multipart/form-data") from None

    def finish(self) -> None:
        if not self._found:
            raise BadRequest("the form holds no file", param="file")

    def _begin(self) -> None:
        self._name.clear()
        self._value.clear()

    @staticmethod
    def _collect(into: bytearray, data: bytes) -> None:
        into += data
        if len(into) > _HEAD_LIMIT:
            raise BadRequest("a part of the form has too long a head")

    def _header(self) -> None:
        if bytes(self._name).lower() == b"content-disposition" and not self._found:
            _, options = parse_options_header(bytes(self._value))
            if b"filename" in options:
                self._found = self._inside = True
                self._file.received.filename = options[b"filename"].decode(errors="replace")
        self._begin()

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._inside:
            self._file.take(data[start:end])

    def _end(self) -> None:
        self._inside = False


def _sink(content_type: str, file: _File) -> _Sink:
    if not content_type.lower().startswith("multipart/form-data"):
        return _Raw(file)
    _, options = parse_options_header(content_type)
    if b"boundary" not in options:
        raise BadRequest("multipart/form-data needs a boundary")
    return _Form(file, options[b"boundary"])


async def receive(body: AsyncIterator[bytes], content_type: str, path: Path, limit: int) -> Received:
    """Write a request's body to `path` and sync it. Raises `BadRequest`, `TooLarge`, or `Unavailable` when the disk
    refuses; the file is gone then, as it is when the client goes away."""
    file = _File(limit)
    sink = _sink(content_type, file)
    try:
        with await asyncio.to_thread(path.open, "xb") as out:
            async for data in body:
                sink.feed(data)
                if len(file.waiting) >= _BUFFER:
                    await asyncio.to_thread(file.write, out)
            sink.finish()
            await asyncio.to_thread(_finish, file, out)
    except BaseException as error:
        await asyncio.to_thread(path.unlink, missing_ok=True)
        if isinstance(error, OSError):
            raise Unavailable("the file can't be stored just now") from None
        raise
    file.received.filename = _plain(file.received.filename)
    return file.received


def _finish(file: _File, out: IO[bytes]) -> None:
    file.write(out)
    out.flush()
    os.fsync(out.fileno())


def _plain(filename: str) -> str:
    """A name to show, without folders and control characters."""
    return re.sub(r"[\x00-\x1f\x7f]", "", re.split(r"[/\\]", filename)[-1])[:255]
