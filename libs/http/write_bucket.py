"""The limit of one key's writes as the hot path sees it: decided on the spot, paid for in blocks."""

import asyncio
from collections import deque
from math import ceil

from libs.http.limits import Allowance, Limit, Limiter

BLOCKS = 100
LARGEST_BLOCK = 10_000


class WriteBucket:
    """Draws blocks of points from a key's limit and gives them out without asking anybody.

    A block is a hundredth of the burst, so a small limit is kept to the point, and a large one costs a question to
    Redis per some thousand points. What a process has drawn and not given out is its own: at most one block.
    """

    __slots__ = (
        "_block",
        "_denied_for",
        "_denied_until",
        "_drawing",
        "_key",
        "_limit",
        "_limiter",
        "_lines",
        "_lines_until",
        "_tokens",
        "_told",
        "_waiting",
    )  # fmt: skip

    def __init__(self, limiter: Limiter, key: str, limit: Limit) -> None:
        self._limiter = limiter
        self._key = key
        self._limit = limit
        self._block = min(max(1, limit.size // BLOCKS), LARGEST_BLOCK)
        self._tokens = 0.0
        self._denied_for = 0.0
        self._denied_until = 0.0
        self._waiting: deque[tuple[int, asyncio.Future[bool]]] = deque()
        self._drawing: asyncio.Task[None] | None = None
        self._told: Allowance | None = None
        self._lines = b""
        self._lines_until = 0.0

    def take(self, n: int, now: float) -> "bool | asyncio.Future[bool]":
        """May this key write `n` points? A future when Redis has to be asked first.

        `now`, here and below, is seconds of the clock that is never set back: a refusal must not last until a clock
        that was has caught up.
        """
        tokens = self._tokens
        if tokens >= n and not self._waiting:
            self._tokens = tokens - n
            if tokens - n < self._block / 2 and self._block > 1 and self._drawing is None and now >= self._denied_until:
                self._start_drawing()
            return True
        if now < self._denied_until and n - tokens >= self._denied_for:
            return False
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((n, future))
        if self._drawing is None:
            self._start_drawing()
        return future

    def retry_after(self, now: float) -> float:
        """Seconds until it is worth trying again, after a refusal."""
        return max(self._denied_until - now, 0.001)

    def headers(self, now: float) -> bytes:
        """`X-RateLimit-*` and `RateLimit` lines for a response's head; at most a second old."""
        if now >= self._lines_until and self._told is not None:
            told, passed = self._told, self._limiter.clock.now()
            remaining = min(told.remaining + int(self._tokens), self._limit.size)
            self._lines = Allowance(told.limit, 0, remaining, 0, told.reset_after).lines(passed)
            self._lines_until = now + 1
        return self._lines

    def _start_drawing(self) -> None:
        self._drawing = asyncio.get_running_loop().create_task(self._draw())

    async def _draw(self) -> None:
        try:
            least = max(self._waiting[0][0] - self._tokens, 1) if self._waiting else 1
            while True:
                wanted = sum(n for n, _ in self._waiting) - self._tokens
                told = await self._limiter.draw(
                    self._key, self._limit, ceil(max(wanted, self._block, least)), ceil(least)
                )
                self._told, self._lines_until = told, 0.0
                self._tokens += told.granted
                if not told.granted:
                    self._denied_for = least
                    self._denied_until = self._limiter.clock.monotonic() + told.retry_after
                    self._refuse_first()
                self._serve_waiting()
                if not self._waiting:
                    return
                least = max(self._waiting[0][0] - self._tokens, 1)
        finally:
            self._drawing = None

    def _serve_waiting(self) -> None:
        while self._waiting and self._tokens >= self._waiting[0][0]:
            n, future = self._waiting.popleft()
            if not future.done():
                self._tokens -= n
                future.set_result(True)

    def _refuse_first(self) -> None:
        """Those behind may want less, and are asked for on their own."""
        if self._waiting:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_result(False)


class Unmetered(WriteBucket):
    """For keys without limits: always yes, and no headers."""

    __slots__ = ()

    def __init__(self) -> None:
        """Nothing to keep."""

    def take(self, n: int, now: float) -> bool:
        return True

    def retry_after(self, now: float) -> float:
        return 0.0

    def headers(self, now: float) -> bytes:
        return b""
