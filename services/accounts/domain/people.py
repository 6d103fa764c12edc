"""A person, and a browser they are signed in with."""

from uuid import UUID

from eventsourcing.domain import Aggregate, event


class User(Aggregate):
    """A person who can sign in."""

    TOPIC = "accounts.User"

    class Event(Aggregate.Event):
        TOPIC = "accounts.User.Event"

    class Registered(Aggregate.Created):
        TOPIC = "accounts.User.Registered"
        email: str
        password_hash: str
        verified: bool

    class Verified(Event):
        TOPIC = "accounts.User.Verified"

    class PasswordChanged(Event):
        TOPIC = "accounts.User.PasswordChanged"
        password_hash: str

    @event(Registered)
    def __init__(self, email: str, password_hash: str, verified: bool) -> None:
        self.email = email
        self.password_hash = password_hash
        self.verified = verified

    def verify(self) -> None:
        """The person has shown that the address is theirs."""
        if not self.verified:
            self._verify()

    @event(Verified)
    def _verify(self) -> None:
        self.verified = True

    def change_password(self, password_hash: str) -> None:
        if password_hash != self.password_hash:
            self._change_password(password_hash)

    @event(PasswordChanged)
    def _change_password(self, password_hash: str) -> None:
        self.password_hash = password_hash


class Session(Aggregate):
    """A signed-in browser: a person, in one account, until it ends. A new one at every sign-in."""

    TOPIC = "accounts.Session"

    class Event(Aggregate.Event):
        TOPIC = "accounts.Session.Event"

    class Started(Aggregate.Created):
        TOPIC = "accounts.Session.Started"
        account: UUID
        user: UUID
        digest: str
        client: str
        expires_at: float

    class Ended(Event):
        TOPIC = "accounts.Session.Ended"
        account: UUID
        actor: str

    @event(Started)
    def __init__(self, account: UUID, user: UUID, digest: str, client: str, expires_at: float) -> None:
        self.account = account
        self.user = user
        self.digest = digest
        self.ended = False

    def end(self, actor: str) -> None:
        if not self.ended:
            self._end(self.account, actor)

    @event(Ended)
    def _end(self, account: UUID, actor: str) -> None:
        self.ended = True
