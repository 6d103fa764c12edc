"""What the others are told: accounts and keys come and go; people and sessions stay in here."""

from collections.abc import Sequence
from typing import cast

from libs.contracts.accounts import AccountClosed, AccountOpened, KeyIssued, KeyKind, KeyRevoked
from libs.contracts.envelope import Event
from libs.eventstore.events import DomainEvent
from services.accounts.domain import Account, ApiKey


def publish(event: DomainEvent) -> Sequence[Event]:
    """The public contract of a private event, or nothing."""
    match event:
        case Account.Opened():
            return [AccountOpened(account=event.originator_id, at=event.timestamp.timestamp(), name=event.name)]
        case Account.Closed():
            return [AccountClosed(account=event.originator_id, at=event.timestamp.timestamp())]
        case ApiKey.Issued():
            return [
                KeyIssued(
                    account=event.account,
                    at=event.timestamp.timestamp(),
                    key_id=event.originator_id,
                    kind=cast(KeyKind, event.kind),
                    name=event.name,
                )
            ]
        case ApiKey.Revoked():
            return [KeyRevoked(account=event.account, at=event.timestamp.timestamp(), key_id=event.originator_id)]
        case _:
            return []
