"""Public events as CloudEvents in NATS' binary form: attributes in headers, the contract as JSON in the body."""

from collections.abc import Mapping
from datetime import UTC, datetime

from libs.bus import trace
from libs.contracts.envelope import Event

CONTRACTS_PER_EVENT = 1024
"""One private event becomes fewer public ones than this, so that all of them can be numbered in order."""


def number_of(position: int, index: int) -> int:
    """One growing number for the `index`-th public event of the private event at `position` of its store."""
    if not 0 <= index < CONTRACTS_PER_EVENT:
        raise ValueError(f"a private event may become at most {CONTRACTS_PER_EVENT} public ones")
    return position * CONTRACTS_PER_EVENT + index


def position_of(number: int) -> int:
    """The position in the event store that a number was made of."""
    return number // CONTRACTS_PER_EVENT


def headers(event: Event, number: int, traceparent: str) -> dict[str, str]:
    """CloudEvents 1.0 attributes, with the event's number as id, unique per source; also NATS' own message id."""
    attributes = {
        "Nats-Msg-Id": f"{event.SERVICE}:{number}",
        "ce-specversion": "1.0",
        "ce-id": str(number),
        "ce-source": f"/ezstat/{event.SERVICE}",
        "ce-type": event.type_name(),
        "ce-time": datetime.fromtimestamp(event.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "ce-subject": str(event.account),
        "content-type": "application/json",
    }
    return attributes | {trace.HEADER: traceparent} if traceparent else attributes


def number_in(given: Mapping[str, str]) -> int:
    """The number of an event, from its headers. Raises `ValueError`."""
    return int(given.get("ce-id", ""))
