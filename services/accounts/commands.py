"""What an operator can do from the command line."""

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid5

from libs.contracts.accounts import KeyFacts
from libs.runtime.errors import CannotRun
from libs.runtime.process import Process
from libs.runtime.settings import Settings
from services.accounts.application import keys, opening
from services.accounts.application.context import Context
from services.accounts.context import opened
from services.accounts.domain import ACCOUNT_SCOPES, Invalid
from services.accounts.projections import forget_projected


@dataclass(frozen=True)
class Welcome:
    """What `ezstat up` tells the operator: the set-up link while it works, and a line that sends a first point."""

    url: str
    curl: str


async def first_run(process: Process) -> Welcome:
    """At every start: what the environment asks for (first account, first user) is there afterwards."""
    settings = process.settings
    async with opened(process) as context:
        await opening.ensure_first_account(context)
        try:
            await opening.ensure_first_user(context)
        except Invalid as error:
            raise CannotRun(f"EZSTAT_ADMIN_EMAIL or EZSTAT_ADMIN_PASSWORD: {error}") from error
        url = (
            f"{settings.url}/setup?token={opening.setup_token(context)}" if await opening.is_unclaimed(context) else ""
        )
    return Welcome(url=url, curl=_first_point(settings))


def _first_point(settings: Settings) -> str:
    """A line that works when it is pasted: with the operator's key, or without any into the public name space."""
    if settings.api_key:
        return f'curl -d "ezkey=$EZSTAT_API_KEY" -d stat=signups -d count=1 {settings.url}/ez'
    point = '{"mvp": "hello", "stat": "first_point", "count": 1}'
    return f"curl -H 'Content-Type: application/json' -d '{point}' {settings.url}/api/public"


async def create_key(process: Process, arguments: Sequence[str]) -> str:
    """`ezstat keys create`: a key of the operator's account, printed once."""
    parser = argparse.ArgumentParser(prog="ezstat keys create", description="Make a key of the operator's account.")
    parser.add_argument("--name", default="command line")
    parser.add_argument("--test", action="store_true", help="its data is stored apart")
    parser.add_argument("--style", choices=("ss", "sk"), default="ss", help="sk: named as StatFlow named them")
    parser.add_argument("--scope", action="append", choices=ACCOUNT_SCOPES, help="may be given again; default: all")
    given = parser.parse_args(list(arguments))
    async with opened(process) as context:
        issued = await keys.issue_account_key(
            context,
            await operator(context),
            given.name,
            mode="test" if given.test else "live",
            style=given.style,
            scopes=given.scope,
        )
    return issued.secret


async def operator(context: Context) -> KeyFacts:
    """Who acts from the command line: an owner of the first account, which is opened if need be."""
    account = await opening.ensure_first_account(context, open_anyway=True)
    if account is None:
        raise CannotRun("there is no account yet")
    return KeyFacts(
        key_id=uuid5(account, "operator"), account=account, kind="self_hosted", scopes=frozenset(ACCOUNT_SCOPES)
    )


async def replay(process: Process, arguments: Sequence[str]) -> str:
    """Empty the read models and make them again from the events, in one transaction."""
    async with opened(process) as context:
        count = await asyncio.to_thread(_rebuild, context)
    return f"accounts: {count} events replayed"


def _rebuild(context: Context) -> int:
    with context.database.connect() as connection, connection.cursor() as cursor:
        forget_projected(cursor)
        return context.store.rebuild(cursor)
