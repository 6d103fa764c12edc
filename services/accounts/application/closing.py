"""An account's settings, and its end."""

from typing import Any, Literal
from uuid import UUID

from psycopg import Cursor, sql

from libs.contracts.accounts import KeyFacts
from libs.eventstore.store import NotFound
from services.accounts import queries
from services.accounts.application.context import Context, actor, change
from services.accounts.application.opening import clean_timezone
from services.accounts.application.signing import WrongCredentials
from services.accounts.domain import Account, User


async def change_settings(
    context: Context,
    caller: KeyFacts,
    *,
    name: str | None = None,
    timezone: str | None = None,
    joiner: Literal["~", " "] | None = None,
) -> None:
    """What is None stays. Raises `Invalid`."""
    if timezone is not None:
        clean_timezone(timezone)

    def decide(account: Account) -> None:
        account.change_settings(
            account.name if name is None else name,
            account.timezone if timezone is None else timezone,
            joiner or ("~" if account.joiner == "~" else " "),
            actor(caller),
        )

    account: Account = await change(context, caller.account, decide)
    if account.joiner != caller.joiner:
        await context.barrier.drop(account=caller.account)  # rings tell the joiner to those who split names


async def close_account(context: Context, caller: KeyFacts, password: str) -> bool:
    """Delete an account, with everything in it and the people who belong to no other. Raises `WrongCredentials`.

    Their events go too: nothing but the fact that an account with this id was closed is left here. Other services
    learn of it from `AccountClosed` and do the same. False: some ring still knows a key.
    """
    if caller.user is None:
        raise NotFound("user")
    user: User = await context.store.get(caller.user)
    if not await context.passwords.verify(password, user.password_hash):
        raise WrongCredentials
    account: Account = await context.store.get(caller.account)
    async with context.database.house() as cursor:
        people = await queries.lone_members(cursor, caller.account)
        secrets = await queries.keys_and_sessions_ever(cursor, caller.account)
    account.close()
    await context.store.save(account, also=_erase(people, [caller.account, *people, *secrets]))
    return await context.barrier.drop(account=caller.account)


def _erase(people: list[UUID], aggregates: list[UUID]) -> Any:
    """Runs after the views forgot the account, in the same transaction, before `Closed` itself is stored."""

    def write(cursor: Cursor[Any]) -> None:
        emails = [
            row[0]
            for row in cursor.execute(
                "delete from accounts.users where id = any(%s) returning email", (people,)
            ).fetchall()
        ]
        for table, column in (("mails", "recipient"), ("tickets", "email"), ("errands", "email")):
            statement = sql.SQL("delete from {} where {} = any(%s)")
            cursor.execute(statement.format(sql.Identifier("accounts", table), sql.Identifier(column)), (emails,))
        cursor.execute("delete from accounts.accounts_events where originator_id = any(%s)", (aggregates,))

    return write
