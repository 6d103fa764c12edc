"""Whoever deletes stats takes turns with the writer: a stat is deleted before or after a batch, never during it."""

from typing import Any

from psycopg import Cursor

_CLASS = 0x657A73  # "ezs": advisory locks (class, partition)

WAIT_FOR_WRITER = f"select pg_advisory_xact_lock({_CLASS}, %s)".encode()
"""For who deletes: until the transaction ends, no batch of this partition is written."""


def wait_for_writer(cursor: Cursor[Any], partition: int) -> None:
    """`WAIT_FOR_WRITER` on a synchronous cursor."""
    cursor.execute(WAIT_FOR_WRITER, (partition,))


def hold_off_deletions(cursor: Cursor[Any], partition: int) -> None:
    """For the writer: until the transaction ends, nothing of this partition is deleted."""
    cursor.execute("select pg_advisory_xact_lock_shared(%s, %s)", (_CLASS, partition))
