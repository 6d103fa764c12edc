"""Time and identity as parameters: one clock and one id source for a process, replaced in tests."""

import os
import time
from typing import Protocol
from uuid import UUID


class Clock(Protocol):
    """Where "now" comes from. Deadlines and leases use `monotonic`, everything a user sees uses `now`."""

    def now(self) -> float:
        """Unix seconds."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never steps back."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


def uuid7(now: float | None = None) -> UUID:
    """A time-ordered UUID (RFC 9562, version 7): 48 bits of Unix milliseconds, then 74 random bits."""
    milliseconds = int((time.time() if now is None else now) * 1000)
    random = int.from_bytes(os.urandom(10), "big")
    high, low = random >> 64 & 0xFFF, random & (1 << 62) - 1
    return UUID(int=milliseconds << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low)
