"""Decisions of the four aggregates; no server, no clock."""

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from eventsourcing.domain import Aggregate
from hypothesis import given
from hypothesis import strategies as st

from services.accounts.domain import Account, ApiKey, Invalid, Refused, Session, User, clean_email, scopes_of

ALICE, BOB, CHARLIE = (UUID(int=n) for n in (1, 2, 3))
NOW = 1_000.0


def account() -> Account:
    opened = Account(name="Acme", timezone="UTC", first=False, unlimited=False)
    opened.join(ALICE, "alice@example.org", "owner")
    return opened


def key() -> ApiKey:
    return ApiKey(
        account=uuid4(), kind="account", name="ci", digest="00" * 32, hint="ss_l…abcd", mode="live",
        scopes=["stats:write"], user=None, site=None, expires_at=None, actor="user:x",
    )  # fmt: skip


def session() -> Session:
    return Session(account=uuid4(), user=ALICE, digest="00" * 32, client="curl", expires_at=NOW)


def user() -> User:
    return User(email="alice@example.org", password_hash="h", verified=False)


PEOPLE = st.sampled_from([(ALICE, "alice@example.org"), (BOB, "bob@example.org"), (CHARLIE, "charlie@example.org")])
ROLE = st.sampled_from(["owner", "member", "viewer"])
INVITATION = st.sampled_from([UUID(int=n) for n in (10, 11, 12)])

ACCOUNT_COMMANDS = st.one_of(
    st.builds(lambda n, j: lambda a: a.change_settings(n, "UTC", j, "x"), st.sampled_from("ab"), st.sampled_from("~ ")),
    st.builds(lambda i, p, r: lambda a: a.invite(i, p[1], r, f"{i.hex}", 2 * NOW, "x"), INVITATION, PEOPLE, ROLE),
    st.builds(lambda i: lambda a: a.withdraw(i, "x"), INVITATION),
    st.builds(lambda p, r: lambda a: a.join(*p, r), PEOPLE, ROLE),
    st.builds(lambda i, p: lambda a: a.accept(i, *p, NOW), INVITATION, PEOPLE),
    st.builds(lambda p, r: lambda a: a.change_role(p[0], r, "x"), PEOPLE, ROLE),
    st.builds(lambda p: lambda a: a.remove(p[0], "x"), PEOPLE),
    st.just(lambda a: a.close()),
)


def once(aggregate: Aggregate, command: Callable[..., object]) -> int:
    """How many events a command yields; a refusal yields none."""
    try:
        command(aggregate)
    except Refused:
        assert not aggregate.pending_events
    return len(aggregate.collect_events())


@given(st.lists(ACCOUNT_COMMANDS, max_size=12))
def test_the_same_command_twice_yields_no_second_event_and_an_open_account_keeps_an_owner(
    commands: list[Callable[[Account], None]],
) -> None:
    subject = account()
    subject.collect_events()
    for command in commands:
        once(subject, command)
        assert once(subject, command) == 0
        assert subject.closed or any(member.role == "owner" for member in subject.members.values())


@pytest.mark.parametrize(
    ("aggregate", "command"),
    [
        (key, lambda k: k.revoke("x")),
        (session, lambda s: s.end("x")),
        (user, lambda u: u.verify()),
        (user, lambda u: u.change_password("new")),
    ],
)
def test_the_same_command_twice_yields_one_event(
    aggregate: Callable[[], Aggregate], command: Callable[[Aggregate], None]
) -> None:
    subject = aggregate()
    subject.collect_events()
    command(subject)
    command(subject)
    assert len(subject.collect_events()) == 1


def test_every_aggregate_and_event_has_a_topic_of_its_own() -> None:
    topics = [Account.TOPIC, ApiKey.TOPIC, Session.TOPIC, User.TOPIC]
    for kind in (Account, ApiKey, Session, User):
        topics += [
            vars(event)["TOPIC"] for event in vars(kind).values() if isinstance(event, type) and "TOPIC" in vars(event)
        ]
    assert len(topics) == len(set(topics))
    assert all(topic.startswith("accounts.") for topic in topics)


def test_an_account_state_survives_replaying_its_events() -> None:
    subject = account()
    subject.invite(UUID(int=10), "bob@example.org", "member", "00", 2 * NOW, "x")
    subject.accept(UUID(int=10), BOB, "bob@example.org", NOW)
    subject.change_role(BOB, "viewer", "x")
    replayed = None
    for event in subject.collect_events():
        replayed = event.mutate(replayed)
    assert replayed == subject


def test_the_last_owner_can_neither_leave_nor_step_down() -> None:
    subject = account()
    with pytest.raises(Refused, match="at least one owner"):
        subject.remove(ALICE, "x")
    with pytest.raises(Refused, match="at least one owner"):
        subject.change_role(ALICE, "viewer", "x")
    subject.join(BOB, "bob@example.org", "owner")
    subject.remove(ALICE, "x")
    assert set(subject.members) == {BOB}


def test_an_invitation_is_for_one_address_and_dies_with_time_use_and_a_newer_one() -> None:
    subject = account()
    first, second = UUID(int=10), UUID(int=11)
    subject.invite(first, "bob@example.org", "member", "00", 2 * NOW, "x")
    with pytest.raises(Refused):
        subject.accept(first, CHARLIE, "charlie@example.org", NOW)
    with pytest.raises(Refused):
        subject.accept(first, BOB, "bob@example.org", 2 * NOW)
    subject.invite(second, "bob@example.org", "viewer", "01", 2 * NOW, "x")
    with pytest.raises(Refused):
        subject.accept(first, BOB, "bob@example.org", NOW)
    subject.accept(second, BOB, "bob@example.org", NOW)
    assert subject.members[BOB].role == "viewer"
    with pytest.raises(Refused, match="already"):
        subject.invite(first, "bob@example.org", "owner", "02", 2 * NOW, "x")


def test_a_viewer_looks_a_member_works_an_owner_decides() -> None:
    assert "account" in scopes_of("owner")
    assert "account" not in scopes_of("member")
    assert "stats:write" in scopes_of("member")
    assert scopes_of("viewer") == {"stats:read", "sites:read"}
    assert scopes_of(None) == frozenset()


@pytest.mark.parametrize("text", ["Alice@Example.ORG", "  alice@example.org  "])
def test_an_address_has_one_form(text: str) -> None:
    assert clean_email(text) == "alice@example.org"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "alice",
        "alice@host",
        "a@b@c.de",
        "a b@c.de",
        "a@b..de",
        "a@b.de.",
        "a@b.de\nBcc: x@y.de",
        "<a@b.de>",
        "a" * 65 + "@b.de",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        clean_email(text)
