"""Rate limits: exact over many callers in Redis, shared out while Redis is away."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import redis.asyncio

from libs.http.errors import TooMany
from libs.http.limits import Limit, Limiter, LocalGcra
from libs.http.write_bucket import WriteBucket
from libs.runtime.clock import SystemClock
from libs.runtime.process import connect_redis
from tests.servers import Servers

MINUTE = Limit(60, 60)


class HandClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = 1_000_000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


@pytest.fixture
async def cache(servers: Servers) -> AsyncIterator[redis.asyncio.Redis]:
    # Patient, unlike the real one: a busy test machine must not look like a Redis that is away.
    pool = redis.asyncio.BlockingConnectionPool.from_url(servers.redis_url, max_connections=50, timeout=10)
    client = redis.asyncio.Redis(connection_pool=pool)
    yield client
    await client.aclose()


@pytest.fixture
def limiter(cache: redis.asyncio.Redis) -> Limiter:
    return Limiter(cache, SystemClock())


@pytest.fixture
async def nowhere() -> AsyncIterator[redis.asyncio.Redis]:
    client = connect_redis("redis://127.0.0.1:1")
    yield client
    await client.aclose()


def key() -> str:
    return uuid4().hex


async def granted(limiter: Limiter, name: str, limit: Limit) -> bool:
    try:
        await limiter.check("test", name, limit)
    except TooMany:
        return False
    return True


async def test_of_many_at_once_exactly_the_limit_is_let_through(cache: redis.asyncio.Redis) -> None:
    processes, name = [Limiter(cache, SystemClock()) for _ in range(4)], key()
    answers: list[bool] = []
    for _ in range(10):  # the pool has 50 connections
        answers += await asyncio.gather(*[granted(processes[n % 4], name, MINUTE) for n in range(20)])
    assert sum(answers) == 60


async def test_a_refusal_says_when_to_come_back(limiter: Limiter) -> None:
    name, limit = key(), Limit(2, 60)
    first = await limiter.check("test", name, limit)
    assert first is not None
    assert (first.remaining, first.headers(1000.0)["X-RateLimit-Limit"]) == (1, "2")
    await limiter.check("test", name, limit)
    with pytest.raises(TooMany) as refused:
        await limiter.check("test", name, limit)
    headers = refused.value.headers
    assert 25 <= int(headers["Retry-After"]) <= 30
    assert headers["X-RateLimit-Remaining"] == "0"
    assert headers["RateLimit"].startswith('"default";r=0;t=')
    assert headers["RateLimit-Policy"] == '"default";q=2;w=60'


async def test_more_than_the_burst_is_granted_once_by_a_full_bucket(limiter: Limiter) -> None:
    name, limit = key(), Limit(10, 1000)
    await limiter.check("test", name, limit, cost=25)
    with pytest.raises(TooMany) as refused:
        await limiter.check("test", name, limit)
    assert int(refused.value.headers["Retry-After"]) > 1500


async def test_limits_that_are_off_let_everything_through(cache: redis.asyncio.Redis) -> None:
    limiter = Limiter(cache, SystemClock(), enabled=False)
    assert [await limiter.check("test", "k", Limit(1, 3600)) for _ in range(5)] == [None] * 5


async def test_without_redis_a_process_gives_out_its_own_share(nowhere: redis.asyncio.Redis) -> None:
    limiter, name = Limiter(nowhere, SystemClock(), workers=4), key()
    assert sum([await granted(limiter, name, MINUTE) for _ in range(60)]) == 15
    assert await granted(limiter, key(), Limit(1, 60))


async def test_after_three_failures_redis_is_left_alone_for_a_second(nowhere: redis.asyncio.Redis) -> None:
    clock = HandClock()
    limiter = Limiter(nowhere, clock)
    asked = 0
    script = limiter._script

    async def counting(**arguments: object) -> object:
        nonlocal asked
        asked += 1
        return await script(**arguments)

    limiter._script = counting  # type: ignore[assignment]
    for _ in range(10):
        await limiter.check("test", "k", MINUTE)
    assert asked == 3
    clock.time += 1.1
    await limiter.check("test", "k", MINUTE)
    assert asked == 4


def test_the_local_form_refills_evenly() -> None:
    clock = HandClock()
    local = LocalGcra(clock)
    assert [local.draw("k", MINUTE, 1, 1).granted for _ in range(61)] == [1] * 60 + [0]
    clock.time += 2
    assert [local.draw("k", MINUTE, 1, 1).granted for _ in range(3)] == [1, 1, 0]


async def take(bucket: WriteBucket, n: int) -> bool:
    answer = bucket.take(n, SystemClock().monotonic())
    return answer if isinstance(answer, bool) else await answer


async def test_a_small_write_limit_is_kept_to_the_point_by_many_processes(cache: redis.asyncio.Redis) -> None:
    name, limit = key(), Limit(30, 3600)
    buckets = [WriteBucket(Limiter(cache, SystemClock()), name, limit) for _ in range(3)]
    answers = await asyncio.gather(*[take(buckets[n % 3], 1) for n in range(60)])
    assert sum(answers) == 30
    assert not await take(buckets[0], 1)
    assert buckets[0].take(1, SystemClock().monotonic()) is False
    assert 100 < buckets[0].retry_after(SystemClock().monotonic()) <= 120


async def test_a_large_write_limit_is_given_out_on_the_spot(limiter: Limiter) -> None:
    bucket = WriteBucket(limiter, key(), Limit(100_000, 1, 1_000_000))
    assert await take(bucket, 1)
    now = SystemClock().monotonic()
    assert all(bucket.take(1, now) is True for _ in range(5000))
    assert b"X-RateLimit-Limit: 1000000\r\n" in bucket.headers(now)


async def test_a_batch_larger_than_a_block_waits_for_as_much_as_it_needs(limiter: Limiter) -> None:
    bucket = WriteBucket(limiter, key(), Limit(1, 3600, 5000))
    assert await take(bucket, 4000)
    assert not await take(bucket, 4000)
    assert await take(bucket, 900)


async def test_writes_go_on_while_redis_is_away(nowhere: redis.asyncio.Redis) -> None:
    bucket = WriteBucket(Limiter(nowhere, SystemClock(), workers=2), key(), Limit(10, 3600))
    assert [await take(bucket, 1) for _ in range(7)] == [True] * 5 + [False] * 2
