"""Private event -> public contract, or nothing."""

from collections.abc import Sequence
from typing import Any

from libs.contracts.envelope import Event
from libs.contracts.ingest import StatChanged, StatCreated, StatDeleted
from services.ingest.domain import Stat


def publish(event: Any) -> Sequence[Event]:
    """What the others are told of one of our events."""
    at = event.timestamp.timestamp()
    match event:
        case Stat.Created():
            return [
                StatCreated(
                    account=event.account,
                    at=at,
                    stat=event.originator_id,
                    mode=event.mode,
                    name=event.name,
                    kind=event.kind,
                )
            ]
        case Stat.Described():
            return [StatChanged(account=event.account, at=at, stat=event.originator_id, name=event.name)]
        case Stat.Deleted():
            return [
                StatDeleted(account=event.account, at=at, stat=event.originator_id, mode=event.mode, name=event.name)
            ]
        case _:
            return []
