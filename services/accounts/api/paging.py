"""Pages of a list: an opaque cursor says where the last one ended."""

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import Query

from libs.http.errors import BadRequest
from services.accounts.queries import Place

Row = TypeVar("Row")

Limit = Annotated[int, Query(ge=1, le=1000, description="At most this many.")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before.")]


def place(cursor: str | None) -> Place | None:
    """Where the next page begins. Raises `BadRequest`."""
    if cursor is None:
        return None
    try:
        at, _, id_ = base64.urlsafe_b64decode(cursor.encode()).decode().partition("|")
        return Place(datetime.fromisoformat(at), int(id_) if id_.isdecimal() else UUID(id_))
    except (ValueError, binascii.Error):
        raise BadRequest("this cursor is not one of ours", param="cursor") from None


def after(rows: Sequence[Row], limit: int, at: datetime | None, id_: UUID | int | None) -> str | None:
    """The cursor behind the last row (`at`, `id_`) of a full page; None at the end of the list."""
    if len(rows) < limit or at is None:
        return None
    return base64.urlsafe_b64encode(f"{at.isoformat()}|{id_}".encode()).decode()
