"""Keys of every kind, from the command to what a ring is told."""

import time
from uuid import uuid4

import pytest

from libs.contracts.accounts import KeyFacts, ResolveKey
from libs.eventstore.store import NotFound
from services.accounts import secrets
from services.accounts.application import keys, opening, signing
from services.accounts.application.context import Context
from services.accounts.domain import Invalid, Refused
from services.accounts.resolver import Resolver


async def resolve(context: Context, secret: str) -> KeyFacts | None:
    question = ResolveKey(
        digest=secrets.digest(secret), peppered=secrets.peppered(secret, context.pepper), ring="test:0:ring"
    )
    return (await Resolver(context.database, context.settings).answer(question)).facts


@pytest.fixture
async def owner(context: Context) -> KeyFacts:
    """A session of somebody who just signed up."""
    who = opening.newcomer(f"{uuid4().hex}@example.org", "Acme", "Europe/Berlin")
    signed_in = await opening.sign_up(context, who, "correct horse battery", "pytest")
    facts = await resolve(context, signed_in.secret)
    assert facts is not None
    return facts


async def test_a_new_person_owns_an_account_and_is_signed_in(owner: KeyFacts) -> None:
    assert owner.kind == "session"
    assert owner.role == "owner"
    assert {"stats:write", "stats:read", "account"} <= owner.scopes
    assert owner.expires_at is not None
    assert 13.9 * 86400 < owner.expires_at - time.time() <= 14 * 86400


async def test_a_live_key_is_known_by_its_secret_with_all_scopes(context: Context, owner: KeyFacts) -> None:
    issued = await keys.issue_account_key(context, owner, "ci")
    facts = await resolve(context, issued.secret)
    assert facts is not None
    assert (facts.key_id, facts.account, facts.kind, facts.mode) == (issued.id, owner.account, "account", "live")
    assert facts.scopes == {"stats:write", "stats:read", "account"}


async def test_a_test_key_can_not_make_a_live_one_nor_a_reader_a_writer(context: Context, owner: KeyFacts) -> None:
    issued = await keys.issue_account_key(
        context, owner, "t", mode="test", style="sk", scopes=["stats:read", "account"]
    )
    assert issued.secret.startswith("sk_test_")
    facts = await resolve(context, issued.secret)
    assert facts is not None
    with pytest.raises(keys.NotYours):
        await keys.issue_account_key(context, facts, "live", scopes=["stats:read"])
    with pytest.raises(keys.NotYours):
        await keys.issue_account_key(context, facts, "write", mode="test", scopes=["stats:write"])


async def test_the_self_hosted_key_opens_the_first_account_before_anybody_signed_up(context: Context) -> None:
    first = await opening.ensure_first_account(context)
    facts = await resolve(context, "a self-hosted key for tests")
    assert facts is not None
    assert (facts.kind, facts.account, facts.unlimited) == ("self_hosted", first, True)
    assert {"stats:write", "stats:read", "account", "sites:read"} <= facts.scopes
    assert await opening.ensure_first_account(context) == first


async def test_an_adopted_key_only_writes_and_is_unique_over_all_accounts(context: Context, owner: KeyFacts) -> None:
    secret = f"old-{uuid4().hex}"
    issued = await keys.adopt_ez_key(context, owner, "StatHat", secret)
    facts = await resolve(context, secret)
    assert facts is not None
    assert facts.kind == "ez"
    assert facts.scopes == {"stats:write"}
    with pytest.raises(Refused, match="in use"):
        await keys.adopt_ez_key(context, owner, "again", secret)
    await keys.revoke(context, owner, issued.id, ("ez",))
    assert await resolve(context, secret) is None
    await keys.adopt_ez_key(context, owner, "again", secret)


@pytest.mark.parametrize("secret", ["short", " padded-key ", "ss_live_abcdefghijkl", "a self-hosted key for tests"])
async def test_what_can_not_be_adopted(context: Context, owner: KeyFacts, secret: str) -> None:
    with pytest.raises((Invalid, Refused)):
        await keys.adopt_ez_key(context, owner, "x", secret)


async def test_an_address_is_adopted_only_where_it_was_verified(context: Context, owner: KeyFacts) -> None:
    assert owner.user is not None
    user = await context.store.get(owner.user)
    with pytest.raises(Refused, match="verified"):
        await keys.adopt_ez_key(context, owner, "x", user.email)
    user.verify()
    await context.store.save(user)
    await keys.adopt_ez_key(context, owner, "x", user.email)


async def test_a_regenerated_token_keeps_its_name_and_the_old_one_dies(context: Context, owner: KeyFacts) -> None:
    old = await keys.issue_user_token(context, owner, "laptop")
    new = await keys.regenerate(context, owner, old.id)
    assert await resolve(context, old.secret) is None
    facts = await resolve(context, new.secret)
    assert facts is not None
    assert (facts.kind, facts.user, facts.role) == ("user_token", owner.user, "owner")
    assert facts.scopes == {"sites:read", "sites:write"}
    with pytest.raises(NotFound):
        await keys.regenerate(context, owner, old.id)


async def test_a_key_of_another_account_does_not_exist_for_revoke(context: Context, owner: KeyFacts) -> None:
    issued = await keys.issue_read_key(context, owner, "report")
    who = opening.newcomer(f"{uuid4().hex}@example.org", None, None)
    charlie = await resolve(context, (await opening.sign_up(context, who, "correct horse battery", "x")).secret)
    assert charlie is not None
    with pytest.raises(NotFound):
        await keys.revoke(context, charlie, issued.id, ("read",))
    assert await resolve(context, issued.secret) is not None


async def test_a_session_ends_with_sign_out_and_others_with_a_new_password(context: Context) -> None:
    email = f"{uuid4().hex}@example.org"
    await opening.sign_up(context, opening.newcomer(email, None, None), "correct horse battery", "x")
    first = await signing.sign_in(context, email, "correct horse battery", "one")
    second = await signing.sign_in(context, email.upper(), "correct horse battery", "two")
    facts = await resolve(context, first.secret)
    assert facts is not None
    await signing.change_password(context, facts, "correct horse battery", "another good one")
    assert await resolve(context, second.secret) is None
    with pytest.raises(signing.WrongCredentials):
        await signing.sign_in(context, email, "correct horse battery", "x")
    await signing.end_session(context, first.session, "user:x")
    assert await resolve(context, first.secret) is None
