"""Rate limits: GCRA in Redis, shared by all processes, and by each process alone while Redis is away.

GCRA (the generic cell rate algorithm, ITU-T I.371) keeps one number per key: the theoretical arrival time, when the
bucket will be full again. It is one atomic script with Redis's own clock, so that any number of processes agree.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

import redis.asyncio
from redis.exceptions import RedisError

from libs.http.errors import TooMany
from libs.runtime.clock import Clock

log = logging.getLogger("ezstat.http")

FAILURES_TO_OPEN = 3
OPEN_SECONDS = 1.0
LOCAL_KEYS = 10_000

# Grants as much of `want` as there is, if that is at least `least`. A demand above the burst is granted by a full
# bucket and leaves it in debt: else it could never be met. Times are microseconds; answers: granted, left, retry ms,
# reset ms.
GCRA = """
local burst, period, count = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local want, least = tonumber(ARGV[4]), tonumber(ARGV[5])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval = period * 1000000 / count
local full = tonumber(redis.call('GET', KEYS[1]) or now)
if full < now then full = now end
local there = math.floor(burst - (full - now) / interval + 0.05)
local granted = math.min(want, math.max(there, 0))
if granted < least then
  if least > burst and full <= now then
    granted = least
  else
    local retry = full + interval * (math.min(least, burst) - burst) - now
    return {0, math.max(there, 0), math.ceil(math.max(retry, 0) / 1000), math.ceil((full - now) / 1000)}
  end
end
full = full + interval * granted
redis.call('SET', KEYS[1], string.format('%.3f', full), 'PX', math.ceil((full - now) / 1000) + 1000)
return {granted, math.max(there - granted, 0), 0, math.ceil((full - now) / 1000)}
"""


@dataclass(frozen=True)
class Limit:
    """`count` in `period` seconds, evenly, after `burst` at once (0: `count`)."""

    count: float
    period: float
    burst: int = 0

    @property
    def size(self) -> int:
        """The most that can be taken at once."""
        return self.burst or max(1, int(self.count))

    @property
    def interval(self) -> float:
        """Seconds until one more may be taken."""
        return self.period / self.count

    def share(self, workers: int) -> "Limit":
        """What one of several processes may give on its own word: at least one at a time."""
        return Limit(self.count / workers, self.period, max(1, self.size // workers))


@dataclass(frozen=True)
class Allowance:
    """What a limit said. `granted` is 0 when it refused; `retry_after` and `reset_after` are seconds."""

    limit: Limit
    granted: float
    remaining: int
    retry_after: float
    reset_after: float

    def headers(self, now: float) -> dict[str, str]:
        """`X-RateLimit-*` (reset as Unix seconds) and the IETF's `RateLimit` fields.

        The latter as in draft-ietf-httpapi-ratelimit-headers.
        """
        size, reset = self.limit.size, ceil(self.reset_after)
        return {
            "X-RateLimit-Limit": str(size),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(ceil(now + self.reset_after)),
            "RateLimit-Policy": f'"default";q={size};w={ceil(size * self.limit.interval)}',
            "RateLimit": f'"default";r={self.remaining};t={reset}',
        }

    def lines(self, now: float) -> bytes:
        """The same as lines of a response's head."""
        return "".join(f"{name}: {value}\r\n" for name, value in self.headers(now).items()).encode()


class LocalGcra:
    """The same algorithm inside one process. Holds at most `LOCAL_KEYS` keys; the oldest go first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._full: dict[str, float] = {}

    def draw(self, key: str, limit: Limit, want: float, least: float) -> Allowance:
        now = self._clock.monotonic()
        full = max(self._full.pop(key, now), now)
        there = floor(limit.size - (full - now) / limit.interval + 1e-6)
        granted = min(want, max(there, 0))
        if granted < least and least > limit.size and full <= now:
            granted = least
        if granted < least:
            granted = 0
        full += limit.interval * granted
        self._keep(key, full, now)
        retry = 0.0 if granted else full + limit.interval * (min(least, limit.size) - limit.size) - now
        return Allowance(limit, granted, max(int(there - granted), 0), max(retry, 0.0), full - now)

    def _keep(self, key: str, full: float, now: float) -> None:
        while len(self._full) >= LOCAL_KEYS:
            del self._full[next(iter(self._full))]
        if full > now:
            self._full[key] = full


class Limiter:
    """The limits of one process. `enabled=False`: nothing is ever limited."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        clock: Clock,
        *,
        workers: int = 1,
        enabled: bool = True,
        write: Limit | None = None,
    ) -> None:
        self.enabled = enabled
        self.clock = clock
        self.write = write or Limit(100_000, 1, 1_000_000)
        self._workers = workers
        self._script = client.register_script(GCRA)
        self._local = LocalGcra(clock)
        self._failures = 0
        self._open_until = 0.0

    async def check(self, kind: str, key: str, limit: Limit, cost: int = 1) -> Allowance | None:
        """Take `cost` from the bucket of (`kind`, `key`); None when limits are off. Raises `TooMany`."""
        if not self.enabled:
            return None
        allowance = await self.draw(f"{kind}:{key}", limit, cost, cost)
        if not allowance.granted:
            raise TooMany(allowance.retry_after, headers=allowance.headers(self.clock.now()))
        return allowance

    async def draw(self, key: str, limit: Limit, want: float, least: float) -> Allowance:
        """As much of `want` as there is, but not less than `least`; else nothing. Never fails: without Redis this
        process gives out its own share."""
        if self.clock.monotonic() >= self._open_until:
            try:
                answer = await self._script(
                    keys=[f"limit:{key}"], args=[limit.size, limit.period, limit.count, want, least]
                )
            except (RedisError, OSError, TimeoutError) as error:
                self._failed(error)
            else:
                self._failures = 0
                return _allowance(limit, answer)
        return self._local.draw(key, limit.share(self._workers), want, least)

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        if self._failures >= FAILURES_TO_OPEN:
            if self._failures == FAILURES_TO_OPEN:
                log.warning("Redis is away (%s): limits are kept by each process alone", type(error).__name__)
            self._open_until = self.clock.monotonic() + OPEN_SECONDS


def _allowance(limit: Limit, answer: Sequence[int]) -> Allowance:
    granted, remaining, retry, reset = answer
    return Allowance(limit, granted, remaining, retry / 1000, reset / 1000)
