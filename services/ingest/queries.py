"""SQL reads -> plain structs."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
import numpy as np
from numpy.typing import NDArray
from psycopg import AsyncCursor
from psycopg.rows import TupleRow

from libs.contracts.accounts import Mode
from libs.contracts.ingest import Kind
from services.ingest.domain import spelled

Cursor = AsyncCursor[TupleRow]
Times = NDArray[np.int64]
Values = NDArray[np.float64]


class StatRow(msgspec.Struct, frozen=True):
    """A stat as people see it."""

    id: UUID
    name: str
    kind: Kind
    unit: str
    description: str
    colour: str
    pinned: bool
    created_at: datetime
    last_point_at: datetime | None


_STAT = """
select s.id, s.name, s.kind, s.unit, s.description, s.colour, s.pinned, s.created_at, recent.last_at
from ingest.stats s
left join lateral (
    select max(last_at) as last_at from (
        select h.last_at from ingest.hours h
        where h.partition = %(partition)s and h.stat = s.id order by h.bucket desc limit 1
    ) newest
) recent on true
"""


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text) if len(text) == 36 else None
    except ValueError:
        return None


async def stats_by_names(
    cursor: Cursor, names: Sequence[tuple[UUID, Mode, str]]
) -> dict[tuple[UUID, Mode, str], tuple[UUID, Kind]]:
    """(account, mode, name) -> (id, kind) of those that exist."""
    await cursor.execute(
        "select s.account, s.mode, s.name, s.id, s.kind from ingest.stats s"
        " join unnest(%s::uuid[], %s::text[], %s::text[]) w(account, mode, name)"
        " on s.account = w.account and s.mode = w.mode and s.name = w.name",
        ([a for a, _, _ in names], [m for _, m, _ in names], [n for _, _, n in names]),
    )
    return {(account, mode, name): (stat, kind) for account, mode, name, stat, kind in await cursor.fetchall()}


async def stat(cursor: Cursor, account: UUID, mode: Mode, name: str, partition: int) -> StatRow | None:
    """A stat by its name; failing that, by its id."""
    name, by_id = spelled(name), _uuid(name)
    await cursor.execute(
        _STAT + "where s.account = %(account)s and s.mode = %(mode)s and (s.name = %(name)s or s.id = %(id)s)"
        " order by s.name = %(name)s desc limit 1",
        {"partition": partition, "account": account, "mode": mode, "name": name, "id": by_id},
    )
    row = await cursor.fetchone()
    return None if row is None else StatRow(*row)


async def stat_by_id(cursor: Cursor, account: UUID, mode: Mode, stat: UUID) -> tuple[UUID, Kind, str] | None:
    """(id, kind, name), for senders that use the id."""
    await cursor.execute(
        "select id, kind, name from ingest.stats where account = %s and mode = %s and id = %s", (account, mode, stat)
    )
    row = await cursor.fetchone()
    return None if row is None else (row[0], row[1], row[2])


async def stats(
    cursor: Cursor, account: UUID, mode: Mode, partition: int, *, after: str = "", limit: int, search: str = ""
) -> list[StatRow]:
    """Stats in the order of their names, those behind `after`; `search` is a part of the name, in any case."""
    await cursor.execute(
        _STAT + "where s.account = %(account)s and s.mode = %(mode)s and s.name > %(after)s"
        " and (%(search)s = '' or strpos(lower(s.name), lower(%(search)s)) > 0)"
        " order by s.name limit %(limit)s",
        {"partition": partition, "account": account, "mode": mode, "after": after, "search": search, "limit": limit},
    )
    return [StatRow(*row) for row in await cursor.fetchall()]


async def stats_page(cursor: Cursor, account: UUID, mode: Mode, offset: int, limit: int) -> list[StatRow]:
    """Stats in the order of their names, without their last points: for clients that count pages."""
    await cursor.execute(
        "select id, name, kind, unit, description, colour, pinned, created_at, null::timestamptz from ingest.stats"
        " where account = %s and mode = %s order by name offset %s limit %s",
        (account, mode, offset, limit),
    )
    return [StatRow(*row) for row in await cursor.fetchall()]


async def raw_points(
    cursor: Cursor, partition: int, stat: UUID, start: float, end: float, limit: int
) -> tuple[Times, Values]:
    """Points as sent in [start, end), Unix seconds, by time: (Unix microseconds, values), at most `limit`."""
    await cursor.execute(
        "select n, body from ingest.points where partition = %s and stat = %s"
        " and last_at >= to_timestamp(%s) and first_at < to_timestamp(%s) order by first_at",
        (partition, stat, start, end),
        prepare=True,
        binary=True,
    )
    chunks = await cursor.fetchall()
    times = np.frombuffer(b"".join(body[: 8 * n] for n, body in chunks), "<i8")
    values = np.frombuffer(b"".join(body[8 * n :] for n, body in chunks), "<f8")
    inside = np.flatnonzero((times >= start * 1e6) & (times < end * 1e6))
    order = inside[np.argsort(times[inside], kind="stable")][:limit]
    return times[order], values[order]


async def count_stats(cursor: Cursor, account: UUID, mode: Mode) -> int:
    await cursor.execute("select count(*) from ingest.stats where account = %s and mode = %s", (account, mode))
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])
