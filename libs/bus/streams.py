"""The streams that must exist, and how each of them keeps what it holds (RELIABILITY 2.1)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

import nats.js.errors
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from libs.bus.cancelling import end_if_cancelled
from libs.bus.connect import Bus
from libs.bus.errors import NATS_ERRORS, BusUnavailable
from libs.contracts.ingest import points_stream, points_subject
from libs.runtime.settings import Settings

log = logging.getLogger("ezstat.bus.streams")

PARKED = "PARKED"
ADVISORIES = "ADVISORIES"
DUPLICATE_WINDOW = 120.0
_SMALLEST = 64 << 20
_NO_ROOM = 10047
_OTHER_CONFIGURATION = 10058
_RETRY = 1.0


def events_stream(service: str) -> str:
    """Name of the stream that a service's public events are in."""
    return f"EVENTS_{service.upper()}"


async def ensure_points(bus: Bus, settings: Settings) -> None:
    """The streams of data points, one per partition. A full one refuses: it never drops what nobody has processed."""
    for partition in range(settings.partitions):
        await _ensure_sized(
            bus,
            _stream(
                points_stream(partition),
                points_subject(partition),
                max_bytes=settings.stream_bytes,
                discard=DiscardPolicy.NEW,
                max_msg_size=512 << 10,
                duplicate_window=DUPLICATE_WINDOW,
            ),
        )


async def ensure_events(bus: Bus, service: str) -> None:
    """The stream of a service's public events, its relay being the only writer; three days of them, the event store
    has the rest."""
    await _ensure(
        bus,
        _stream(
            events_stream(service),
            f"{service}.*.*",
            max_age=72 * 3600.0,
            discard=DiscardPolicy.OLD,
            duplicate_window=DUPLICATE_WINDOW,
            allow_atomic=True,
            deny_delete=True,
        ),
    )


async def ensure_parked(bus: Bus) -> None:
    """Copies of parked messages, for whoever watches; the followers' own tables have the originals."""
    await _ensure(bus, _stream(PARKED, "parked.>", max_bytes=256 << 20, discard=DiscardPolicy.NEW))


async def ensure_advisories(bus: Bus) -> None:
    """What the server has to say about consumers; nobody hears it unless a stream catches it."""
    await _ensure(bus, _stream(ADVISORIES, "$JS.EVENT.ADVISORY.CONSUMER.>", max_msgs=10_000, discard=DiscardPolicy.OLD))


def keep(bus: Bus, ensure: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
    """A task that makes sure of streams now and after every reconnect (a server may come back with an empty disk)."""
    wanted = asyncio.Event()
    wanted.set()
    bus.on_back(wanted.set)

    async def loop() -> None:
        while True:
            end_if_cancelled()
            await wanted.wait()
            wanted.clear()
            try:
                await ensure()
            except BusUnavailable as error:
                log.warning("streams: %s; trying again", error)
                await asyncio.sleep(_RETRY)
                wanted.set()

    return asyncio.create_task(loop(), name="streams")


def _stream(
    name: str,
    subject: str,
    *,
    discard: DiscardPolicy,
    max_bytes: int = -1,
    max_msgs: int = -1,
    max_msg_size: int = -1,
    max_age: float = 0,
    duplicate_window: float = 0,
    allow_atomic: bool | None = None,
    deny_delete: bool = False,
) -> StreamConfig:
    return StreamConfig(
        name=name,
        subjects=[subject],
        storage=StorageType.FILE,
        retention=RetentionPolicy.LIMITS,
        allow_direct=True,
        discard=discard,
        max_bytes=max_bytes,
        max_msgs=max_msgs,
        max_msg_size=max_msg_size,
        max_age=max_age,
        duplicate_window=duplicate_window,
        allow_atomic=allow_atomic,
        deny_delete=deny_delete,
    )


async def _ensure_sized(bus: Bus, config: StreamConfig) -> None:
    """As large as wanted, or as large as the server has room for: it reserves the whole size at once."""
    while True:
        try:
            return await _ensure(bus, config)
        except _NoRoom:
            size = config.max_bytes or 0
            if size <= _SMALLEST:
                raise BusUnavailable(f"the server has no room for a stream {config.name} of {size} bytes") from None
            config = replace(config, max_bytes=max(_SMALLEST, size // 2))
            log.warning("no room for stream %s of %d bytes, trying %d", config.name, size, config.max_bytes)


class _NoRoom(Exception):
    pass


async def _ensure(bus: Bus, config: StreamConfig) -> None:
    try:
        try:
            # Asked first: adding one that is there already counts its size as if it were a second one.
            await bus.js.stream_info(str(config.name))
        except nats.js.errors.NotFoundError:
            await _add(bus, config)
        else:
            await bus.js.update_stream(config)
    except nats.js.errors.APIError as error:
        if error.err_code == _NO_ROOM:
            raise _NoRoom from None
        raise BusUnavailable(f"stream {config.name}: {error}") from error
    except NATS_ERRORS as error:
        raise BusUnavailable(f"stream {config.name}: {error or type(error).__name__}") from error


async def _add(bus: Bus, config: StreamConfig) -> None:
    try:
        await bus.js.add_stream(config)
    except nats.js.errors.APIError as error:
        if error.err_code != _OTHER_CONFIGURATION:
            raise
        await bus.js.update_stream(config)  # somebody else was quicker
