"""The HTTP processes' database role sees one account at a time; with a wrong or no account it sees nothing."""

from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from libs.eventstore.database import session_conninfo
from services.accounts.application import errands, keys, team
from services.accounts.application.context import Context
from tests.services.accounts.test_people import sign_up

ALL = "select tablename from pg_tables where schemaname = 'accounts' order by 1"
WITH_ACCOUNT = (
    "select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'account'"
    " where c.relnamespace = 'accounts'::regnamespace and c.relkind = 'r' order by 1"
)


def counts(dsn: str, account: str) -> dict[str, int]:
    """How many rows of each table a session of the app role sees for this setting."""
    with psycopg.connect(session_conninfo(dsn, "ezstat_app", account)) as connection:
        return {
            table: connection.execute(
                sql.SQL("select count(*) from {}").format(sql.Identifier("accounts", table))
            ).fetchone()[0]  # type: ignore[index]
            for (table,) in connection.execute(ALL).fetchall()
        }


@pytest.fixture
async def filled(context: Context) -> str:
    """An account with rows in every table that has accounts."""
    caller = await sign_up(context)
    issued = await keys.issue_account_key(context, caller, "ci")
    await team.invite(context, caller, f"{uuid4().hex}@example.org", "viewer")
    await errands.ask_for_reset(context, f"{uuid4().hex}@example.org")
    async with context.database.house() as cursor:
        await cursor.execute("insert into accounts.uses values (%s, %s, now())", (issued.id, caller.account))
    return str(caller.account)


async def test_without_or_with_a_wrong_account_every_table_is_empty(dsn: str, filled: str) -> None:
    for account in ("", str(uuid4())):
        assert set(counts(dsn, account).values()) == {0}


async def test_with_an_account_only_its_rows_are_there_and_tables_without_accounts_stay_shut(
    dsn: str, filled: str
) -> None:
    with psycopg.connect(dsn) as connection:
        with_account = {row[0] for row in connection.execute(WITH_ACCOUNT).fetchall()}
    seen = counts(dsn, filled)
    assert {table for table, count in seen.items() if count} == with_account
    assert seen["accounts"] == seen["members"] == seen["keys"] == seen["invitations"] == 1


async def test_every_table_is_protected(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        unprotected = connection.execute(
            "select relname from pg_class where relnamespace = 'accounts'::regnamespace and relkind = 'r'"
            " and not relrowsecurity"
        ).fetchall()
    assert unprotected == []


async def test_a_row_of_another_account_can_not_be_written(dsn: str, filled: str) -> None:
    with (
        psycopg.connect(session_conninfo(dsn, "ezstat_app", filled)) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("insert into accounts.members values (%s, %s, 'x', 'owner', now())", (uuid4(), uuid4()))
