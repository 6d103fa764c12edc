"""Own events -> own tables, in the transaction of the events."""

from typing import Any

from psycopg import Cursor
from psycopg.rows import TupleRow

from libs.contracts.ingest import partition_of
from libs.eventstore.store import Project
from services.ingest.domain import Stat


def projection(partitions: int) -> Project:
    """`project(cursor, event)` for an installation with that many partitions."""

    def project(cursor: Cursor[TupleRow], event: Any) -> None:
        match event:
            case Stat.Created():
                cursor.execute(
                    "insert into ingest.stats (id, account, mode, name, kind, created_at)"
                    " values (%s, %s, %s, %s, %s, %s)",
                    (event.originator_id, event.account, event.mode, event.name, event.kind, event.timestamp),
                )
            case Stat.Described():
                cursor.execute(
                    "update ingest.stats set unit = %s, description = %s, colour = %s, pinned = %s where id = %s",
                    (event.unit, event.description, event.colour, event.pinned, event.originator_id),
                )
            case Stat.Deleted():
                cursor.execute("delete from ingest.stats where id = %s", (event.originator_id,))
                cursor.execute(
                    "insert into ingest.tombstones (stat, account, partition, mode, name, deleted_at)"
                    " values (%s, %s, %s, %s, %s, %s) on conflict do nothing",
                    (
                        event.originator_id, event.account, partition_of(event.account, partitions),
                        event.mode, event.name, event.timestamp,
                    ),
                )  # fmt: skip

    return project
