"""A little service for these tests: it adds up the values of points, so that a lost or doubled one shows."""

from array import array
from collections.abc import Sequence
from uuid import UUID

from psycopg import Cursor
from psycopg.rows import TupleRow

from libs.bus.data import Received
from libs.contracts.ingest import Frame, Source, encode_frame
from libs.runtime.clock import uuid7

ACCOUNT = UUID(int=7)
SCHEMA = """
create table if not exists mill.sacks (
    partition int, epoch uuid, seq bigint, total float8 not null, primary key (partition, epoch, seq)
);
"""


class Producer:
    """Makes frames as an HTTP process does: an epoch of its own, numbers from 1."""

    def __init__(self) -> None:
        self.epoch = uuid7()
        self.seq = 0

    def frame(self, *values: float, items: Sequence[bytes] = ()) -> bytes:
        self.seq += 1
        n = len(values)
        return encode_frame(
            Frame(
                version=1,
                epoch=self.epoch,
                seq=self.seq,
                received=1_700_000_000_000_000,
                imported=False,
                sources=[Source(ACCOUNT, "live", None, "flour", "counter", None)],
                index=array("H", [0] * n).tobytes(),
                times=array("q", [1_700_000_000_000_000] * n).tobytes(),
                values=array("d", values).tobytes(),
                items=list(items),
            )
        )


def grind(cursor: Cursor[TupleRow], received: Sequence[Received]) -> None:
    """One row per frame, inserted without mercy: a frame seen twice is an error."""
    for each in received:
        values = array("d", each.frame.values)
        kept = values if each.keep is None else [v for v, k in zip(values, each.keep, strict=True) if k]
        cursor.execute(
            "insert into mill.sacks values (0, %s, %s, %s)", (each.frame.epoch, each.frame.seq, float(sum(kept)))
        )
