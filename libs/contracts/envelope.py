"""How contracts are named and encoded on the bus."""

from typing import Any, ClassVar, TypeVar
from uuid import UUID

import msgspec

T = TypeVar("T")


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A public fact of one account. Travels as JSON on subject `<service>.<Event>.<account>`.

    `SERVICE` is the producing service; `at` is when it happened, in Unix seconds.
    """

    SERVICE: ClassVar[str]
    account: UUID
    at: float

    @classmethod
    def type_name(cls) -> str:
        """`ce-type` of the CloudEvent: `<service>.<Event>`."""
        return f"{cls.SERVICE}.{cls.__name__}"

    def subject(self) -> str:
        return f"{self.type_name()}.{self.account}"


def encode(message: Any) -> bytes:
    """JSON bytes of a contract."""
    return msgspec.json.encode(message)


def decode(data: bytes, kind: type[T]) -> T:
    """A contract out of JSON bytes; raises `msgspec.ValidationError` or `msgspec.DecodeError`."""
    return msgspec.json.decode(data, type=kind)
