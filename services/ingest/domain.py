"""A stat: its name, its kind, what people say about it. Points are not events of it; see contracts.ingest.Frame."""

import re
import unicodedata
from uuid import UUID

from eventsourcing.domain import Aggregate, event

from libs.contracts.accounts import Mode
from libs.contracts.ingest import Kind

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_COLOUR = re.compile(r"(#[0-9a-fA-F]{6})?")


class InvalidStat(ValueError):
    """A decision was refused; `field` says which input, the message why."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def spelled(text: str) -> str:
    """The one way to write a name: trimmed, NFC."""
    name = text.strip()
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def clean_name(text: str) -> str:
    """The one form of a stat's name: trimmed, NFC, 1-255 characters, no control characters; case-sensitive."""
    name = spelled(text)
    if not 1 <= len(name) <= 255:
        raise InvalidStat("name", "a stat's name has 1 to 255 characters")
    if _CONTROL.search(name):
        raise InvalidStat("name", "a stat's name has no control characters")
    return name


class Stat(Aggregate):
    """A named counter or gauge of one account, live or test."""

    TOPIC = "ingest.Stat"

    class Event(Aggregate.Event):
        TOPIC = "ingest.Stat.Event"

    class Created(Aggregate.Created):
        TOPIC = "ingest.Stat.Created"
        account: UUID
        mode: Mode
        name: str
        kind: Kind
        actor: str

    class Described(Event):
        TOPIC = "ingest.Stat.Described"
        account: UUID
        name: str
        unit: str
        description: str
        colour: str
        pinned: bool
        actor: str

    class Deleted(Event):
        TOPIC = "ingest.Stat.Deleted"
        account: UUID
        mode: Mode
        name: str
        actor: str

    @event(Created)
    def __init__(self, account: UUID, mode: Mode, name: str, kind: Kind, actor: str) -> None:
        self.account = account
        self.mode = mode
        self.name = name
        self.kind = kind
        self.unit = ""
        self.description = ""
        self.colour = ""
        self.pinned = False
        self.deleted = False

    def describe(self, unit: str, description: str, colour: str, pinned: bool, actor: str) -> None:
        """Set what people see beside the numbers. The same again is no event."""
        if len(unit) > 32:
            raise InvalidStat("unit", "a unit has at most 32 characters")
        if len(description) > 2000:
            raise InvalidStat("description", "a description has at most 2,000 characters")
        if not _COLOUR.fullmatch(colour):
            raise InvalidStat("colour", "a colour is # and six hexadecimal digits, or empty")
        if self.deleted or (unit, description, colour, pinned) == (
            self.unit,
            self.description,
            self.colour,
            self.pinned,
        ):
            return
        self._describe(self.account, self.name, unit, description, colour, pinned, actor)

    @event(Described)
    def _describe(
        self, account: UUID, name: str, unit: str, description: str, colour: str, pinned: bool, actor: str
    ) -> None:
        self.unit = unit
        self.description = description
        self.colour = colour
        self.pinned = pinned

    def delete(self, actor: str) -> None:
        """Irreversible. Deleting twice is no event."""
        if not self.deleted:
            self._delete(self.account, self.mode, self.name, actor)

    @event(Deleted)
    def _delete(self, account: UUID, mode: Mode, name: str, actor: str) -> None:
        self.deleted = True
