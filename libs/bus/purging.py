"""Room in the streams of points: what every follower has stored goes, keeping a day of it where there is room."""

import logging
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

import nats.js.errors

from libs.bus.connect import Bus
from libs.bus.errors import NATS_ERRORS, BusUnavailable

log = logging.getLogger("ezstat.bus.purging")

KEPT = timedelta(hours=24)
_TIGHT = 0.5
_ALARM = 0.8


async def purge_processed(
    bus: Bus, stream: str, required: Collection[str], kept: timedelta = KEPT, now: datetime | None = None
) -> int:
    """Purge a stream below its slowest follower; returns how many messages went. Raises `BusUnavailable`.

    Messages younger than `kept` stay while the stream is less than half full. Followers acknowledge what their own
    transaction stored, so that the slowest consumer's floor is safe. `required` are consumers (`<schema>-<name>`) that
    must exist: before they do, nothing is purged.
    """
    try:
        return await _purge(bus, stream, required, (now or datetime.now(UTC)) - kept)
    except NATS_ERRORS as error:
        raise BusUnavailable(f"purging {stream}: {error or type(error).__name__}") from error


async def _purge(bus: Bus, stream: str, required: Collection[str], young: datetime) -> int:
    info = await bus.js.stream_info(stream)
    floors = {
        consumer.name: consumer.ack_floor.stream_seq if consumer.ack_floor else 0
        for consumer in await bus.js.consumers_info(stream)
    }
    if not floors or not set(required) <= floors.keys() or not info.state.messages:
        return 0
    slowest = min(floors, key=lambda name: floors[name])
    full = info.state.bytes / info.config.max_bytes if info.config.max_bytes and info.config.max_bytes > 0 else 0.0
    if full > _ALARM:
        log.error("%s is %d %% full; its slowest follower is %s at %d", stream, 100 * full, slowest, floors[slowest])
    first_kept = floors[slowest] + 1
    if full < _TIGHT:
        first_kept = min(first_kept, await _first_after(bus, stream, info.state.first_seq, first_kept, young))
    gone = max(0, first_kept - info.state.first_seq)
    if gone:
        await bus.js.purge_stream(stream, seq=first_kept)
        log.info("%s: purged %d messages below %d", stream, gone, first_kept)
    return gone


async def _first_after(bus: Bus, stream: str, low: int, high: int, moment: datetime) -> int:
    """The first sequence from `low` on whose message is younger than `moment`; `high` when none below it is."""
    while low < high:
        middle = (low + high) // 2
        try:
            message = await bus.js.get_msg(stream, seq=middle, subject=">", next=True)
        except nats.js.errors.NotFoundError:
            high = middle
            continue
        if message.time is None or message.time > moment:
            high = middle
        else:
            low = middle + 1
    return high
