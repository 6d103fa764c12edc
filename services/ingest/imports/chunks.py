"""Items of a file cut into chunks that fit into a frame: the same cuts each time, whatever becomes of the rows."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from services.ingest.imports.rows import About, Item, Point

ROWS = 5_000
BYTES = 192 << 10
_POINT, _SOURCE = 18, 64


@dataclass
class Chunk:
    """Some items in their order. `number` counts from 1: it is the sequence of the frame that holds the points."""

    number: int
    items: list[Item] = field(default_factory=list)


def chunks(items: Iterator[Item]) -> Generator[Chunk, None, None]:
    """At most `ROWS` items and about `BYTES` of frame in each."""
    chunk, size, names = Chunk(1), 0, set[str]()
    for item in items:
        if len(chunk.items) >= ROWS or size >= BYTES:
            yield chunk
            chunk, size, names = Chunk(chunk.number + 1), 0, set()
        chunk.items.append(item)
        size += _POINT
        if isinstance(item, Point | About) and item.stat not in names:
            names.add(item.stat)
            size += _SOURCE + 4 * len(item.stat)
    if chunk.items:
        yield chunk
