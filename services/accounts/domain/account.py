"""An organisation and its members."""

from dataclasses import dataclass
from typing import Literal, cast
from uuid import UUID

from eventsourcing.domain import Aggregate, event

from libs.contracts.accounts import Role
from services.accounts.domain.rules import Refused, clean_label


@dataclass(frozen=True)
class Member:
    email: str
    role: Role


@dataclass(frozen=True)
class Invitation:
    email: str
    role: Role
    expires_at: float


class Account(Aggregate):
    """An organisation: who belongs to it, who is asked to, and how it likes things. The first one is the operator's."""

    TOPIC = "accounts.Account"

    class Event(Aggregate.Event):
        TOPIC = "accounts.Account.Event"

    class Opened(Aggregate.Created):
        TOPIC = "accounts.Account.Opened"
        name: str
        timezone: str
        first: bool
        unlimited: bool

    class SettingsChanged(Event):
        TOPIC = "accounts.Account.SettingsChanged"
        name: str
        timezone: str
        joiner: str
        actor: str

    class MemberInvited(Event):
        TOPIC = "accounts.Account.MemberInvited"
        invitation: UUID
        email: str
        role: str
        digest: str
        expires_at: float
        actor: str

    class InvitationWithdrawn(Event):
        TOPIC = "accounts.Account.InvitationWithdrawn"
        invitation: UUID
        actor: str

    class MemberJoined(Event):
        TOPIC = "accounts.Account.MemberJoined"
        user: UUID
        email: str
        role: str
        invitation: UUID | None

    class RoleChanged(Event):
        TOPIC = "accounts.Account.RoleChanged"
        user: UUID
        role: str
        actor: str

    class MemberRemoved(Event):
        TOPIC = "accounts.Account.MemberRemoved"
        user: UUID
        actor: str

    class Closed(Event):
        TOPIC = "accounts.Account.Closed"

    @event(Opened)
    def __init__(self, name: str, timezone: str, first: bool, unlimited: bool) -> None:
        self.name = name
        self.timezone = timezone
        self.joiner = "~"
        self.first = first
        self.unlimited = unlimited
        self.members: dict[UUID, Member] = {}
        self.invitations: dict[UUID, Invitation] = {}
        self.closed = False

    def change_settings(self, name: str, timezone: str, joiner: Literal["~", " "], actor: str) -> None:
        """`joiner` stands between the parts of a name that a tilde splits; a space is how StatHat joined them."""
        name = clean_label("name", name)
        if (name, timezone, joiner) != (self.name, self.timezone, self.joiner) and not self.closed:
            self._change_settings(name, timezone, joiner, actor)

    @event(SettingsChanged)
    def _change_settings(self, name: str, timezone: str, joiner: str, actor: str) -> None:
        self.name = name
        self.timezone = timezone
        self.joiner = joiner

    def invite(self, invitation: UUID, email: str, role: Role, digest: str, expires_at: float, actor: str) -> None:
        """Ask somebody to join. A new invitation of an address replaces the one before."""
        if invitation in self.invitations or self.closed:
            return
        if any(member.email == email for member in self.members.values()):
            raise Refused("already_member", "this person is in the account already")
        self._invite(invitation, email, role, digest, expires_at, actor)

    @event(MemberInvited)
    def _invite(self, invitation: UUID, email: str, role: str, digest: str, expires_at: float, actor: str) -> None:
        self._drop_invitations(email)
        self.invitations[invitation] = Invitation(email, cast(Role, role), expires_at)

    def withdraw(self, invitation: UUID, actor: str) -> None:
        if invitation in self.invitations:
            self._withdraw(invitation, actor)

    @event(InvitationWithdrawn)
    def _withdraw(self, invitation: UUID, actor: str) -> None:
        del self.invitations[invitation]

    def join(self, user: UUID, email: str, role: Role) -> None:
        """A person comes in without an invitation: the one who opened the account."""
        if user not in self.members and not self.closed:
            self._join(user, email, role, None)

    def accept(self, invitation: UUID, user: UUID, email: str, now: float) -> None:
        """The invited person comes in. Whoever holds the link and the address is that person."""
        if user in self.members:
            return
        asked = self.invitations.get(invitation)
        if asked is None or asked.expires_at <= now or asked.email != email or self.closed:
            raise Refused("invitation_gone", "this invitation is used, withdrawn or too old")
        self._join(user, email, asked.role, invitation)

    @event(MemberJoined)
    def _join(self, user: UUID, email: str, role: str, invitation: UUID | None) -> None:
        self._drop_invitations(email)
        self.members[user] = Member(email, cast(Role, role))

    def change_role(self, user: UUID, role: Role, actor: str) -> None:
        member = self._member(user)
        if member.role == role:
            return
        self._keep_an_owner(user)
        self._change_role(user, role, actor)

    @event(RoleChanged)
    def _change_role(self, user: UUID, role: str, actor: str) -> None:
        self.members[user] = Member(self.members[user].email, cast(Role, role))

    def remove(self, user: UUID, actor: str) -> None:
        if user in self.members:
            self._keep_an_owner(user)
            self._remove(user, actor)

    @event(MemberRemoved)
    def _remove(self, user: UUID, actor: str) -> None:
        del self.members[user]

    def close(self) -> None:
        if not self.closed:
            self._close()

    @event(Closed)
    def _close(self) -> None:
        self.closed = True
        self.members.clear()
        self.invitations.clear()

    def _member(self, user: UUID) -> Member:
        if user not in self.members:
            raise Refused("not_a_member", "there is no such member")
        return self.members[user]

    def _keep_an_owner(self, leaving: UUID) -> None:
        if not any(member.role == "owner" for user, member in self.members.items() if user != leaving):
            raise Refused("last_owner", "an account keeps at least one owner")

    def _drop_invitations(self, email: str) -> None:
        self.invitations = {id_: asked for id_, asked in self.invitations.items() if asked.email != email}
