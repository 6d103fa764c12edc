"""Frames with less in them: what is archived is what counted, and what still counts. Pure."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from libs.contracts.ingest import Frame

Mask = NDArray[np.bool_]


def narrowed(frame: Frame, sources: Mask, points: Mask | None = None) -> Frame:
    """The frame with those sources (names, ids) and their points only; of these only `points`, one flag for each."""
    index = np.frombuffer(frame.index, "<u2")
    kept = sources[index] if points is None else sources[index] & points
    renumbered = (np.cumsum(sources) - 1).astype("<u2")
    return msgspec.structs.replace(
        frame,
        sources=[source for source, keep in zip(frame.sources, sources, strict=True) if keep],
        index=renumbered[index[kept]].tobytes(),
        times=np.frombuffer(frame.times, "<i8")[kept].tobytes(),
        values=np.frombuffer(frame.values, "<f8")[kept].tobytes(),
        items=[item for item, keep in zip(frame.items, kept, strict=True) if keep] if frame.items else [],
    )
