"""How rows are read."""

from datetime import datetime
from typing import Any, LiteralString, NamedTuple, TypeVar
from uuid import UUID

from psycopg import AsyncCursor
from psycopg.rows import class_row

Cursor = AsyncCursor[Any]
Row = TypeVar("Row")


class Place(NamedTuple):
    """Where a page of a list ended."""

    at: datetime
    id: UUID | int


async def one_row(cursor: Cursor, kind: type[Row], sql: LiteralString, *parameters: Any) -> Row | None:
    found = await all_rows(cursor, kind, sql, *parameters)
    return found[0] if found else None


async def all_rows(cursor: Cursor, kind: type[Row], sql: LiteralString, *parameters: Any) -> list[Row]:
    async with cursor.connection.cursor(row_factory=class_row(kind)) as typed:
        await typed.execute(sql, parameters)
        return await typed.fetchall()
