"""What other services tell -> own tables."""

from typing import Any

from psycopg import Cursor

from libs.contracts.accounts import AccountClosed


def note_closure(cursor: Cursor[Any], event: AccountClosed) -> None:
    """An account is gone: `closures.Closures` deletes what is left of it here."""
    cursor.execute(
        "insert into ingest.closures (account, closed_at) values (%s, to_timestamp(%s)) on conflict do nothing",
        (event.account, event.at),
    )
    cursor.execute("update ingest.mvps set account = null, claimed_at = null where account = %s", (event.account,))
