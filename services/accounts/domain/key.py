"""A key of any kind but sessions."""

from uuid import UUID

from eventsourcing.domain import Aggregate, event

from libs.contracts.accounts import KeyKind, Mode


class ApiKey(Aggregate):
    """A key of any kind but sessions. Nothing of its secret is here but a digest and what a list shows."""

    TOPIC = "accounts.ApiKey"

    class Event(Aggregate.Event):
        TOPIC = "accounts.ApiKey.Event"

    class Issued(Aggregate.Created):
        TOPIC = "accounts.ApiKey.Issued"
        account: UUID
        kind: str
        name: str
        digest: str
        hint: str
        mode: str
        scopes: list[str]
        user: UUID | None
        site: UUID | None
        expires_at: float | None
        actor: str

    class Revoked(Event):
        TOPIC = "accounts.ApiKey.Revoked"
        account: UUID
        actor: str

    @event(Issued)
    def __init__(
        self,
        account: UUID,
        kind: KeyKind,
        name: str,
        digest: str,
        hint: str,
        mode: Mode,
        scopes: list[str],
        user: UUID | None,
        site: UUID | None,
        expires_at: float | None,
        actor: str,
    ) -> None:
        self.account = account
        self.kind = kind
        self.name = name
        self.digest = digest
        self.mode = mode
        self.scopes = scopes
        self.user = user
        self.site = site
        self.expires_at = expires_at
        self.revoked = False

    def revoke(self, actor: str) -> None:
        """Dead from now on and for ever."""
        if not self.revoked:
            self._revoke(self.account, actor)

    @event(Revoked)
    def _revoke(self, account: UUID, actor: str) -> None:
        self.revoked = True
