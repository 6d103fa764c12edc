"""A request that brings points, and how it is answered, whichever path it took."""

from collections.abc import Callable
from typing import Protocol

from libs.http.dialects import dialect_of
from libs.http.errors import ApiError
from libs.http.principal import Principal

GIF = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00"
    b",\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)


class PointRequest(Protocol):
    """A request with its whole body, from the hot path or from ASGI. Header names are lower-case."""

    body: bytes

    @property
    def method(self) -> bytes: ...

    @property
    def path(self) -> bytes: ...

    @property
    def query(self) -> bytes: ...

    @property
    def headers(self) -> list[tuple[bytes, bytes]]: ...

    @property
    def content_type(self) -> bytes: ...

    @property
    def idempotency_key(self) -> bytes: ...


class Answer:
    """An HTTP answer; `headers` are complete lines. `shared`: the same object answers many requests."""

    __slots__ = ("body", "content_type", "headers", "shared", "status")

    def __init__(
        self, status: int, body: bytes, content_type: bytes = b"application/json", headers: bytes = b""
    ) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = headers
        self.shared = False


Tell = Callable[[Answer, Principal | None], None]
"""Sends an answer; with the principal, its rate-limit headers come along."""

OPEN = b"access-control-allow-origin: *\r\n"
_PIXEL = b"cache-control: no-store\r\ncross-origin-resource-policy: cross-origin\r\n" + OPEN
OK_EZ = Answer(200, b'{"status":200,"msg":"ok"}', headers=OPEN)
OK_GIF = Answer(200, GIF, b"image/gif", _PIXEL)
OK_V1 = Answer(200, b'{"msg":"ok"}')
for _answer in (OK_EZ, OK_GIF, OK_V1):
    _answer.shared = True


class Reply:
    """Turns the end of an intake into the answer of the path's dialect."""

    __slots__ = ("_image", "_ok", "_path", "principal", "tell")

    def __init__(self, request: PointRequest, ok: Answer, tell: Tell, *, image: bool = False) -> None:
        self._path = request.path
        self._ok = ok
        self.tell = tell
        self._image = image
        self.principal: Principal | None = None

    def __call__(self, error: ApiError | None) -> None:
        if error is None:
            self.tell(self._ok, self.principal)
        else:
            self.tell(refusal(self._path, error, image=self._image), self.principal)


def refusal(path: bytes, error: ApiError, *, image: bool = False) -> Answer:
    """The answer of an error in the dialect of its path; as a pixel where an image is wanted."""
    lines = b"".join(b"%s: %s\r\n" % (name.encode(), value.encode()) for name, value in error.headers.items())
    if image:
        return Answer(error.status, GIF, b"image/gif", _PIXEL + lines)
    open_path = OPEN if path in (b"/ez", b"/c", b"/v") else b""
    return Answer(error.status, dialect_of(path.decode("latin-1")).body(error), headers=open_path + lines)
