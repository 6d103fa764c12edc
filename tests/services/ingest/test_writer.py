"""What the writer makes of frames: archive, points, rollups; deleted stats; names that nobody registered."""

from array import array
from collections.abc import Iterator, Sequence
from uuid import UUID, uuid4

import numpy as np
import psycopg
import pytest
from psycopg.rows import TupleRow

from libs.bus.data import Received
from libs.contracts.ingest import Frame, Kind, Source, encode_frame
from libs.eventstore.database import connect
from libs.eventstore.migrate import migrate
from libs.eventstore.store import EventStore
from services.ingest.domain import Stat
from services.ingest.projections import projection
from services.ingest.schema import schema
from services.ingest.writer import Writer
from tests.servers import Servers

MINUTE = 60_000_000
NOON = 1_800_000_000_000_000 // (60 * MINUTE) * 60 * MINUTE
Point = tuple[int, int, float]


@pytest.fixture(scope="module")
def database(servers: Servers) -> Iterator[psycopg.Connection[TupleRow]]:
    migrate(servers.database_url, [("ingest", schema())])
    with connect(servers.database_url) as connection:
        yield connection


@pytest.fixture(scope="module")
def store(servers: Servers, database: object) -> EventStore:
    return EventStore("ingest", servers.database_url, projection(1), role="ezstat_worker")


def received(sources: Sequence[Source], points: Sequence[Point], *, at: int = NOON) -> Received:
    """A frame of (source index, Unix microseconds, value)."""
    frame = Frame(
        1, uuid4(), 1, at, False, list(sources), array("H", [p[0] for p in points]).tobytes(),
        array("q", [p[1] for p in points]).tobytes(), array("d", [p[2] for p in points]).tobytes(), [],
    )  # fmt: skip
    return Received(frame, encode_frame(frame), 1)


def source(name: str, *, account: UUID | None = None, stat: UUID | None = None, kind: Kind = "counter") -> Source:
    return Source(account or uuid4(), "live", stat, name, kind, None)


def apply(database: psycopg.Connection[TupleRow], store: EventStore, *frames: Received) -> None:
    with database.transaction(), database.cursor() as cursor:
        Writer(0, store.commit).apply(cursor, frames)


def hours(database: psycopg.Connection[TupleRow], account: UUID) -> list[TupleRow]:
    return database.execute(
        "select n, sum, min, max, last from ingest.hours where account = %s order by bucket", (account,)
    ).fetchall()


def test_points_are_folded_into_minutes_and_hours(database: psycopg.Connection[TupleRow], store: EventStore) -> None:
    one = source("one")
    points = [(0, NOON + i * MINUTE, float(i)) for i in (3, 0, 61, 2, 0)]
    apply(database, store, received([one], points))
    assert hours(database, one.account) == [(4, 5.0, 0.0, 3.0, 3.0), (1, 61.0, 61.0, 61.0, 61.0)]
    minutes = database.execute("select count(*) from ingest.minutes where account = %s", (one.account,)).fetchone()
    assert minutes == (4,)


def test_later_frames_add_to_the_same_buckets(database: psycopg.Connection[TupleRow], store: EventStore) -> None:
    one = source("one")
    apply(database, store, received([one], [(0, NOON + 5, 5.0)]))
    apply(database, store, received([one], [(0, NOON + 3, 3.0)]), received([one], [(0, NOON + 4, -1.0)]))
    assert hours(database, one.account) == [(3, 7.0, -1.0, 5.0, 5.0)]


def test_points_are_kept_as_sent(database: psycopg.Connection[TupleRow], store: EventStore) -> None:
    one = source("one", kind="gauge")
    apply(database, store, received([one], [(0, NOON + 7, 1.25), (0, NOON + 3, -2.5)]))
    rows = database.execute(
        "select n, body, extract(epoch from first_at) * 1e6, extract(epoch from last_at) * 1e6"
        " from ingest.points where account = %s", (one.account,)
    ).fetchall()  # fmt: skip
    ((n, body, first, last),) = rows
    assert array("q", body[: 8 * n]).tolist() == [NOON + 3, NOON + 7]
    assert array("d", body[8 * n :]).tolist() == [-2.5, 1.25]
    assert (first, last) == (NOON + 3, NOON + 7)


def test_an_unregistered_name_is_registered(database: psycopg.Connection[TupleRow], store: EventStore) -> None:
    one = source("brand new")
    apply(database, store, received([one], [(0, NOON, 1.0)]))
    apply(database, store, received([one], [(0, NOON, 1.0)]))
    rows = database.execute("select name, kind from ingest.stats where account = %s", (one.account,)).fetchall()
    assert rows == [("brand new", "counter")]
    assert hours(database, one.account)[0][0] == 2


def test_points_acknowledged_as_another_kind_count_all_the_same(
    database: psycopg.Connection[TupleRow], store: EventStore
) -> None:
    one = source("one")
    apply(database, store, received([one], [(0, NOON, 1.0)]))
    other = source("one", account=one.account, kind="gauge")
    apply(database, store, received([other], [(0, NOON, 2.0)]))
    assert hours(database, one.account) == [(2, 3.0, 1.0, 2.0, 2.0)]


def test_frames_received_before_a_deletion_raise_nobody_from_the_dead(
    database: psycopg.Connection[TupleRow], store: EventStore
) -> None:
    stat = Stat(uuid4(), "live", "gone", "counter", "test")
    store.commit(stat)
    known = source("gone", account=stat.account, stat=stat.id)
    named = source("gone", account=stat.account)
    apply(database, store, received([known], [(0, NOON, 1.0)]))
    stat.delete("test")
    store.commit(stat)
    before = int((stat.modified_on.timestamp() - 1) * 1e6)
    apply(
        database, store, received([known], [(0, NOON, 1.0)], at=before), received([named], [(0, NOON, 1.0)], at=before)
    )
    rows = database.execute("select id from ingest.stats where account = %s", (stat.account,)).fetchall()
    assert rows == []


def test_points_received_after_a_deletion_make_a_new_stat(
    database: psycopg.Connection[TupleRow], store: EventStore
) -> None:
    stat = Stat(uuid4(), "live", "again", "counter", "test")
    store.commit(stat)
    stat.delete("test")
    store.commit(stat)
    after = int((stat.modified_on.timestamp() + 1) * 1e6)
    known = source("again", account=stat.account, stat=stat.id)
    apply(database, store, received([known], [(0, NOON, 4.0)], at=after))
    rows = database.execute("select id from ingest.stats where account = %s", (stat.account,)).fetchall()
    assert len(rows) == 1
    assert rows[0][0] != stat.id
    assert hours(database, stat.account) == [(1, 4.0, 4.0, 4.0, 4.0)]


def test_points_whose_item_was_seen_are_left_out(database: psycopg.Connection[TupleRow], store: EventStore) -> None:
    one = source("one")
    frame = received([one], [(0, NOON, 1.0), (0, NOON, 2.0), (0, NOON, 4.0)])
    frame.keep = np.array([True, False, True])
    apply(database, store, frame)
    assert hours(database, one.account) == [(2, 5.0, 1.0, 4.0, 4.0)]


def test_the_archive_keeps_each_frame_as_it_came(database: psycopg.Connection[TupleRow], store: EventStore) -> None:
    frame = received([source("one")], [(0, NOON, 1.0)])
    apply(database, store, frame)
    row = database.execute(
        "select seq, stream_seq, body from ingest.frames where epoch = %s", (frame.frame.epoch,)
    ).fetchone()
    assert row == (1, 1, frame.body)
