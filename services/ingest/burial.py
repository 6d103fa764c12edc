"""Which points of a frame belong to deleted stats, and the frame without them. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

import numpy as np

from libs.contracts.accounts import Mode
from libs.contracts.ingest import Frame, Source
from services.ingest.frames import narrowed


@dataclass(frozen=True)
class Tombstone:
    """A deleted stat. `deleted_at` is Unix microseconds."""

    stat: UUID
    account: UUID
    mode: Mode
    name: str
    deleted_at: int


class Burial:
    """Some tombstones, ready to be compared with the sources of frames.

    Points received up to the deletion belonged to the stat, whether their source says so by id or, where it was not
    registered yet, by name. Points received later belong to a new stat of that name, even with the old id on them.
    """

    def __init__(self, tombstones: Iterable[Tombstone]) -> None:
        self._ids: dict[UUID, int] = {}
        self._names: dict[tuple[UUID, Mode, str], int] = {}
        for stone in tombstones:
            self._ids[stone.stat] = stone.deleted_at
            key = (stone.account, stone.mode, stone.name)
            self._names[key] = max(stone.deleted_at, self._names.get(key, stone.deleted_at))

    def covers(self, source: Source, received: int) -> bool:
        """Do points of this source, received then (Unix microseconds), belong to a deleted stat?"""
        if source.stat is not None:
            deleted_at = self._ids.get(source.stat)
        else:
            deleted_at = self._names.get((source.account, source.mode, source.name))
        return deleted_at is not None and received <= deleted_at

    def purge(self, frame: Frame) -> Frame | None:
        """The frame without points, names and ids of deleted stats; the same frame if there are none in it, None if
        nothing else is."""
        kept = np.array([not self.covers(source, frame.received) for source in frame.sources], np.bool_)
        if kept.all():
            return frame
        if not kept.any():
            return None
        return narrowed(frame, kept)

    def needles(self, most: int) -> list[bytes]:
        """Bytes of which a frame concerned holds at least one, as they stand in its encoding; none: too many to say."""
        wanted = {stat.bytes for stat in self._ids} | {name.encode() for _, _, name in self._names}
        return list(wanted) if len(wanted) <= most else []
