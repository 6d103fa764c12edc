"""Which request all this is about: the W3C `traceparent` of the running task, carried over bus and event store."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

HEADER = "traceparent"

_current: ContextVar[str] = ContextVar("traceparent", default="")
_well_formed = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}").fullmatch


def current() -> str:
    """The traceparent of the running task; empty when nothing started one."""
    return _current.get()


def fresh() -> str:
    """A new, sampled traceparent (W3C Trace Context, version 00)."""
    return f"00-{os.urandom(16).hex()}-{os.urandom(8).hex()}-01"


@contextmanager
def following(traceparent: str | None) -> Iterator[str]:
    """Run a block under the caller's traceparent, or under a fresh one when there is none or it is malformed."""
    taken = traceparent if traceparent and _well_formed(traceparent) else fresh()
    token = _current.set(taken)
    try:
        yield taken
    finally:
        _current.reset(token)
