"""The table of bad input: what is wrong, the request that has it, and the status it must get."""

from dataclasses import dataclass, field

from tests.wire import Request

NAME = "zqstat"
"""Stands in the names of all stats in bad requests: no answer may repeat it."""


@dataclass(frozen=True)
class Case:
    """`request` may be bytes where no `Request` could be so wrong. `path` says which dialect answers; by default that
    of the request. `secret` texts of the input must not come back, beside the key and NAME."""

    name: str
    request: Request | bytes
    status: int = 400
    path: str = ""
    secret: tuple[str, ...] = field(default=())

    @property
    def answering(self) -> str:
        """The path whose dialect the answer is in."""
        if self.path or isinstance(self.request, bytes):
            return self.path or "/"
        target = self.request.target
        return (target.decode("latin-1") if isinstance(target, bytes) else target).partition("?")[0]

    @property
    def method(self) -> str:
        return "" if isinstance(self.request, bytes) else self.request.method

    def wire(self, key: str) -> bytes:
        if isinstance(self.request, bytes):
            return self.request.replace(b"KEY", key.encode())
        return self.request.wire(key)
