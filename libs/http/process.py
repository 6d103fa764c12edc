"""What an app needs of the process it runs in; `libs.runtime.process.Process` is one."""

from collections.abc import Callable
from typing import Protocol

import redis.asyncio
from prometheus_client import CollectorRegistry

from libs.http.keyring import KeyRing
from libs.http.limits import Limiter
from libs.runtime.clock import Clock
from libs.runtime.settings import Settings


class HttpProcess(Protocol):
    """`ring` is there in processes that answer HTTP. `ready` holds the parts of `/readyz`, by name."""

    settings: Settings
    clock: Clock
    redis: redis.asyncio.Redis
    ring: KeyRing | None
    limiter: Limiter
    metrics: CollectorRegistry
    ready: dict[str, Callable[[], bool]]
