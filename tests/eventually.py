"""Waiting for what happens elsewhere: with a deadline, never with a sleep of guessed length."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(condition: Callable[[], bool | Awaitable[bool]], within: float = 5) -> None:
    """Return as soon as `condition()` (plain or async) is true; fail when it is not `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        outcome = condition()
        if await outcome if inspect.isawaitable(outcome) else outcome:
            return
        assert time.monotonic() < deadline, f"not within {within} s: {inspect.getsource(condition).strip()}"
        await asyncio.sleep(0.01)


def until(read: Callable[[], T | None], within: float = 5) -> T:
    """For plain tests: what `read()` answers as soon as it is truthy; fail when it is not `within` seconds."""
    deadline = time.monotonic() + within
    while not (found := read()):
        assert time.monotonic() < deadline, f"not within {within} s: {inspect.getsource(read).strip()}"
        time.sleep(0.01)
    return found
