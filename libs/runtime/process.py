"""Everything one OS process has, opened at its start and closed at its end."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

import redis.asyncio
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from libs.bus.connect import Bus
from libs.bus.errors import BusUnavailable
from libs.contracts.accounts import KEY_PEPPER
from libs.eventstore.database import Database
from libs.eventstore.database import Role as DatabaseRole
from libs.http.keyring import KeyRing
from libs.http.limits import Limit, Limiter
from libs.http.public import ASGI
from libs.runtime.clock import Clock, SystemClock
from libs.runtime.host import this_host
from libs.runtime.settings import Settings

Role = Literal["http", "work"]
DATABASE_ROLES: dict[Role, DatabaseRole] = {"http": "ezstat_app", "work": "ezstat_worker"}
_PATIENCE = 0.5


@dataclass
class Process:
    """What a service gets when it is entered. `tasks` is set while the process runs; `ring` and `limiter` belong to
    processes that answer HTTP, and so does `api`: all that this process answers, once every service is entered.
    `stopping` is set when the process has been told to end: answers without an end of their own end then."""

    settings: Settings
    role: Role
    name: str
    clock: Clock
    bus: Bus
    database: Database
    redis: redis.asyncio.Redis
    ring: KeyRing | None
    limiter: Limiter
    metrics: CollectorRegistry
    tasks: asyncio.TaskGroup | None
    ring_name: str
    ready: dict[str, Callable[[], bool]] = field(default_factory=dict)
    api: ASGI | None = None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


def connect_redis(url: str) -> redis.asyncio.Redis:
    """A client that gives up after 50 ms: Redis holds only what may be lost, and nobody waits for it."""
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url,
        max_connections=50,
        timeout=0.05,
        socket_timeout=0.05,
        socket_connect_timeout=0.05,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=10,
    )
    return redis.asyncio.Redis(connection_pool=pool)


def new_ring_name() -> str:
    """`<host>:<pid>:<nonce>`: by the first two the supervisor can say of a dead process which rings died with it."""
    return f"{this_host()}:{os.getpid()}:{secrets.token_hex(4)}"


def new_metrics() -> CollectorRegistry:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


@asynccontextmanager
async def open_process(settings: Settings, role: Role, name: str) -> AsyncIterator[Process]:
    """A process with its connections. Opening never fails because a server is away; what needs it says so later."""
    clock, ring_name = SystemClock(), new_ring_name()
    async with AsyncExitStack() as stack:
        database = Database(settings.database_url, DATABASE_ROLES[role])
        await database.open()
        stack.push_async_callback(database.close)
        cache = connect_redis(settings.redis_url)
        stack.push_async_callback(cache.aclose)
        bus = Bus.start(settings.nats_url, name)
        stack.push_async_callback(bus.close)
        with suppress(BusUnavailable):  # services then find it there at once, and need not try again
            await bus.wait(_PATIENCE)
        write = Limit(settings.write_rate, 1, settings.write_burst)
        limiter = Limiter(cache, clock, workers=settings.http_workers, enabled=settings.rate_limits, write=write)
        ring = None
        if role == "http":
            ring = KeyRing(bus, clock, limiter, name=ring_name, pepper=settings.derive(KEY_PEPPER))
            await ring.start()
            stack.push_async_callback(ring.close)
        yield Process(
            settings=settings, role=role, name=name, clock=clock, bus=bus, database=database, redis=cache, ring=ring,
            limiter=limiter, metrics=new_metrics(), tasks=None, ring_name=ring_name,
        )  # fmt: skip
