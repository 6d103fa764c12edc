"""`ezstat parked`: messages that followers could not handle, shown, and tried again when a person says so."""

from collections.abc import Sequence
from contextlib import closing

from libs.bus.parking import Parked, ask_replay, list_parked
from libs.runtime.process import Process
from libs.runtime.service import Service


async def parked(process: Process, services: Sequence[Service], *, again: bool, ids: Sequence[int]) -> str:
    """The text to print: what is parked in these services, or how many of them (`ids`, or all) are tried again."""
    with closing(process.database.connect()) as connection, connection.transaction(), connection.cursor() as cursor:
        schemas = [service.name for service in services if service.schema]
        if again:
            counts = {schema: ask_replay(cursor, schema, ids or None) for schema in schemas}
            return "\n".join(f"{schema}: {count} are tried again" for schema, count in counts.items())
        rows = [(schema, row) for schema in schemas for row in list_parked(cursor, schema)]
    return "\n".join(_line(schema, row) for schema, row in rows) or "nothing is parked"


def _line(schema: str, row: Parked) -> str:
    at = row.parked_at.isoformat(timespec="seconds")
    return f"{schema} {row.id}  {at}  {row.follower} on {row.subject} ({row.size} bytes): {row.reason}"
