"""Answers `ingest.series`: what another service needs to begin with, before it follows the points itself."""

import asyncio
from typing import Any

from psycopg import AsyncCursor
from psycopg.rows import TupleRow

from libs.contracts.ingest import MOST_BUCKETS, Bucket, SeriesAsked, SeriesTold, partition_of
from libs.eventstore.database import Database

_PATIENCE = 1.0
_AGAIN = 0.02


class History:
    """Reads rollups and the writer's position in one snapshot, so that the answer says exactly what is in it."""

    def __init__(self, database: Database, partitions: int) -> None:
        self._database = database
        self._partitions = partitions

    async def tell(self, asked: SeriesAsked) -> SeriesTold:
        """Wait a moment for a writer that is behind; then say how far it is."""
        partition = partition_of(asked.account, self._partitions)
        deadline = asyncio.get_running_loop().time() + _PATIENCE
        while True:
            async with self._database.tenant(asked.account, snapshot=True) as cursor:
                upto = await _position(cursor, partition)
                if upto >= asked.at_least:
                    return await _told(cursor, partition, upto, asked)
            if asyncio.get_running_loop().time() > deadline:
                return SeriesTold(upto=upto, ready=False)
            await asyncio.sleep(_AGAIN)


async def _position(cursor: AsyncCursor[TupleRow], partition: int) -> int:
    await cursor.execute(
        "select position from ingest.positions where partition = %s and follower = 'writer'", (partition,)
    )
    row = await cursor.fetchone()
    return 0 if row is None else int(row[0])


async def _told(cursor: AsyncCursor[TupleRow], partition: int, upto: int, asked: SeriesAsked) -> SeriesTold:
    minutes = await _buckets(cursor, "minutes", partition, asked.stat, asked.account, asked.minutes_since)
    hours = await _buckets(cursor, "hours", partition, asked.stat, asked.account, asked.hours_since)
    if len(minutes) + len(hours) > MOST_BUCKETS:
        return SeriesTold(upto=upto, too_many=True)
    return SeriesTold(upto=upto, minutes=minutes, hours=hours)


async def _buckets(cursor: AsyncCursor[TupleRow], table: str, *key: Any) -> list[Bucket]:
    query = f"""
        select (extract(epoch from bucket) * 1000000)::bigint, n, sum, min, max, last,
            (extract(epoch from last_at) * 1000000)::bigint
        from ingest.{table}
        where partition = %s and stat = %s and account = %s and bucket >= to_timestamp(%s)
        order by bucket limit {MOST_BUCKETS + 1}
    """  # noqa: S608  (two table names of ours)
    await cursor.execute(query.encode(), key)
    return [(row[0], row[1], row[2], row[3], row[4], row[5], row[6]) for row in await cursor.fetchall()]
