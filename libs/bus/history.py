"""What the stream of events holds no more: asked for page by page, answered by the producer's relay from its store."""

import msgspec


class HistoryAsked(msgspec.Struct, frozen=True, kw_only=True):
    """To subject `<service>.history`: public events after the event store's `position`."""

    position: int


class Told(msgspec.Struct, frozen=True, array_like=True):
    """One public event as it would stand in the stream."""

    subject: str
    headers: dict[str, str]
    body: bytes


class HistoryPage(msgspec.Struct, frozen=True, kw_only=True):
    """Events up to the store's `position`; nothing is left after it when `complete`."""

    events: list[Told]
    position: int
    complete: bool


def history_subject(service: str) -> str:
    return f"{service}.history"
