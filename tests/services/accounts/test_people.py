"""Sign-up, links by mail, members, and the end of an account, on real Postgres and NATS."""

import re
import time
from uuid import uuid4

import psycopg
import pytest

from libs.contracts.accounts import KeyFacts
from libs.eventstore.store import NotFound
from services.accounts import queries
from services.accounts.application import closing, errands, keys, opening, signing, team
from services.accounts.application.context import Context
from services.accounts.domain import Refused
from services.accounts.projections import PROJECTED, forget_projected
from tests.services.accounts.test_keys import resolve

PASSWORD = "correct horse battery"


async def sign_up(context: Context, email: str = "") -> KeyFacts:
    who = opening.newcomer(email or f"{uuid4().hex}@example.org", "Acme", None)
    return await facts_of(context, (await opening.sign_up(context, who, PASSWORD, "pytest")).secret)


async def facts_of(context: Context, secret: str) -> KeyFacts:
    facts = await resolve(context, secret)
    assert facts is not None
    return facts


async def mails_to(context: Context, email: str) -> list[queries.MailRow]:
    async with context.database.house() as cursor:
        return [mail for mail in await queries.mails(cursor, None, 1000) if mail.recipient == email]


async def link_to(context: Context, email: str) -> str:
    """The token in the newest mail to somebody."""
    await errands.run_errands(context)
    found = re.search(r"token=(\S+)", (await mails_to(context, email))[0].body)
    assert found is not None
    return found[1]


async def test_an_address_signs_up_once(context: Context) -> None:
    await sign_up(context, email := f"{uuid4().hex}@example.org")
    with pytest.raises(Refused, match="already"):
        await sign_up(context, email)


async def test_a_forgotten_password_is_replaced_by_a_link_that_works_once(context: Context) -> None:
    caller = await sign_up(context, email := f"{uuid4().hex}@example.org")
    await errands.ask_for_reset(context, email)
    token = await link_to(context, email)
    await errands.reset_password(context, token, "a completely new one")
    await signing.sign_in(context, email, "a completely new one", "x")
    with pytest.raises(signing.WrongCredentials):
        await signing.sign_in(context, email, PASSWORD, "x")
    with pytest.raises(errands.TicketGone):
        await errands.reset_password(context, token, "yet another one")
    async with context.database.house() as cursor:
        assert caller.user is not None
        assert caller.key_id not in [row.id for row in await queries.sessions(cursor, caller.user)]


async def test_a_password_that_changes_while_somebody_signs_in_with_the_old_one_lets_nobody_in(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = await sign_up(context, email := f"{uuid4().hex}@example.org")
    verify = context.passwords.verify

    async def verify_then_lose_the_race(password: str, kept: str | None) -> bool:
        right = await verify(password, kept)
        monkeypatch.setattr(context.passwords, "verify", verify)
        await signing.change_password(context, caller, PASSWORD, "a completely new one")
        return right

    monkeypatch.setattr(context.passwords, "verify", verify_then_lose_the_race)
    with pytest.raises(signing.WrongCredentials):
        await signing.sign_in(context, email, PASSWORD, "x")


async def test_an_unused_session_ends_after_two_weeks_and_a_used_one_goes_on(context: Context) -> None:
    caller = await sign_up(context)
    async with context.database.house() as cursor:
        await cursor.execute(
            "update accounts.sessions set created_at = now() - interval '15 days', digest = 'old' where id = %s",
            (caller.key_id,),
        )
        idle = await queries.key_facts(cursor, b"old", b"")
        await cursor.execute(
            "insert into accounts.uses values (%s, %s, now() - interval '1 day')", (caller.key_id, caller.account)
        )
        used = await queries.key_facts(cursor, b"old", b"")
    await signing.end_session(context, caller.key_id, "system")
    assert idle is not None
    assert used is not None
    assert idle.expires_at is not None
    assert used.expires_at is not None
    assert idle.expires_at < time.time() < used.expires_at < time.time() + 13.1 * 86400


async def test_a_mailbox_is_not_filled_by_asking_again_and_again(context: Context) -> None:
    await sign_up(context, email := f"{uuid4().hex}@example.org")
    for _ in range(6):
        await errands.ask_for_reset(context, email)
    await errands.run_errands(context)
    assert len(await mails_to(context, email)) == 3


async def test_asking_for_a_stranger_sends_nothing(context: Context) -> None:
    await errands.ask_for_reset(context, email := f"{uuid4().hex}@example.org")
    assert await errands.run_errands(context) == 1
    assert await mails_to(context, email) == []


async def test_a_sign_up_by_mail_opens_the_account_when_its_link_is_used(context: Context) -> None:
    email = f"{uuid4().hex}@example.org"
    await errands.ask_to_sign_up(context, opening.newcomer(email, "Acme", "Europe/Berlin"), PASSWORD)
    signed_in = await errands.confirm(context, token := await link_to(context, email), "pytest")
    assert signed_in is not None
    async with context.database.house() as cursor:
        user, account = await queries.user(cursor, signed_in.user), await queries.account(cursor, signed_in.account)
    assert user is not None
    assert user.verified
    assert account is not None
    assert (account.name, account.timezone) == ("Acme", "Europe/Berlin")
    with pytest.raises(errands.TicketGone):
        await errands.confirm(context, token, "pytest")
    await errands.ask_to_sign_up(context, opening.newcomer(email, None, None), "not their password")
    await errands.run_errands(context)
    assert "already" in (await mails_to(context, email))[0].subject


async def test_an_invited_stranger_chooses_a_password_and_a_known_person_gives_theirs(context: Context) -> None:
    alice = await sign_up(context)
    await sign_up(context, bob := f"{uuid4().hex}@example.org")
    await team.invite(context, alice, bob, "member")
    token = await link_to(context, bob)
    with pytest.raises(team.PasswordNeeded):
        await team.accept(context, token, "not Bob's password", "x")
    joined = await team.accept(context, token, PASSWORD, "x")
    assert joined.account == alice.account
    assert (await facts_of(context, joined.secret)).role == "member"
    with pytest.raises(team.InvitationGone):
        await team.accept(context, token, PASSWORD, "x")

    await team.invite(context, alice, dora := f"{uuid4().hex}@example.org", "viewer")
    joined = await team.accept(context, await link_to(context, dora), "a password of Dora", "x")
    assert (await facts_of(context, joined.secret)).scopes == {"stats:read", "sites:read"}


async def test_a_removed_member_loses_session_and_tokens_and_a_changed_role_counts_at_once(context: Context) -> None:
    alice = await sign_up(context)
    await team.invite(context, alice, bob := f"{uuid4().hex}@example.org", "member")
    joined = await team.accept(context, await link_to(context, bob), PASSWORD, "x")
    caller = await facts_of(context, joined.secret)
    token = await keys.issue_user_token(context, caller, "laptop")
    await team.change_role(context, alice, joined.user, "viewer")
    assert (await facts_of(context, token.secret)).scopes == {"sites:read"}
    await team.remove(context, alice, joined.user)
    assert await resolve(context, joined.secret) is None
    assert await resolve(context, token.secret) is None
    assert (await signing.sign_in(context, bob, PASSWORD, "x")).account != alice.account
    with pytest.raises(NotFound):
        await team.remove(context, alice, joined.user)


async def test_a_person_of_two_accounts_switches_between_them(context: Context) -> None:
    alice, bob = await sign_up(context), await sign_up(context, email := f"{uuid4().hex}@example.org")
    await team.invite(context, alice, email, "member")
    await team.accept(context, await link_to(context, email), PASSWORD, "x")
    switched = await signing.switch(context, bob, alice.account, "x")
    assert (await facts_of(context, switched.secret)).account == alice.account
    with pytest.raises(NotFound):
        await signing.switch(context, bob, uuid4(), "x")


async def test_a_closed_account_leaves_nothing_but_that_it_was_closed(context: Context, dsn: str) -> None:
    caller = await sign_up(context, email := f"{uuid4().hex}@example.org")
    issued = await keys.issue_account_key(context, caller, name := f"key {uuid4().hex}")
    await keys.revoke(context, caller, issued.id, ("account",))
    await errands.ask_for_reset(context, email)
    await errands.run_errands(context)
    with pytest.raises(signing.WrongCredentials):
        await closing.close_account(context, caller, "wrong password")
    await closing.close_account(context, caller, PASSWORD)
    assert await resolve(context, issued.secret) is None
    with pytest.raises(signing.WrongCredentials):
        await signing.sign_in(context, email, PASSWORD, "x")
    left = rows_that_mention(dsn, email, name, str(caller.account), caller.account.hex)
    assert left == ["accounts_events"]
    assert [
        type(e.event).__name__ for e in context.store.events_after(0, 10_000) if e.event.originator_id == caller.account
    ] == ["Closed"]


def rows_that_mention(dsn: str, *texts: str) -> list[str]:
    """Names of the service's tables, once per row that holds one of the texts."""
    found = []
    with psycopg.connect(dsn) as connection:
        tables = connection.execute("select tablename from pg_tables where schemaname = 'accounts'").fetchall()
        for (table,) in tables:
            for row in connection.execute(f"select * from accounts.{table}").fetchall():
                shown = "".join(bytes(v).decode("utf-8", "ignore") if isinstance(v, bytes) else str(v) for v in row)
                found += [table] * any(text in shown for text in texts)
    return found


async def test_the_views_are_the_same_after_they_were_rebuilt_from_the_events(context: Context, dsn: str) -> None:
    caller = await sign_up(context)
    await keys.issue_account_key(context, caller, "ci")
    await closing.change_settings(context, caller, name="Renamed", joiner=" ")

    def everything() -> dict[str, list[object]]:
        with psycopg.connect(dsn) as connection:
            return {
                table: sorted(
                    connection.execute(f"select to_jsonb(t) - 'id' || '{{}}' from accounts.{table} t").fetchall(),
                    key=str,
                )
                for table in (*PROJECTED, "audit")
            }

    before = everything()
    with context.database.connect() as connection, connection.cursor() as cursor:
        forget_projected(cursor)
        context.store.rebuild(cursor)
    assert everything() == before
