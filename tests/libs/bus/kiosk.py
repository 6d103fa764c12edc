"""Two little services for these tests: a kiosk that sells, and a clerk who counts what the kiosk tells."""

from collections.abc import Sequence
from typing import Any, ClassVar
from uuid import UUID

from eventsourcing.domain import Aggregate, event
from psycopg import Cursor

from libs.contracts.envelope import Event

KIOSK = "create table if not exists kiosk.papers (id uuid primary key, account uuid not null);"
CLERK = """
create table if not exists clerk.sales (n bigint generated always as identity, account uuid, title text, trace text);
"""


class Opened(Event, frozen=True, kw_only=True):
    SERVICE: ClassVar[str] = "kiosk"
    name: str


class Sold(Event, frozen=True, kw_only=True):
    SERVICE: ClassVar[str] = "kiosk"
    title: str
    copies: int = 1


class Paper(Aggregate):
    TOPIC = "kiosk.Paper"

    class Event(Aggregate.Event):
        TOPIC = "kiosk.Paper.Event"

    class Printed(Aggregate.Created):
        TOPIC = "kiosk.Paper.Printed"
        account: UUID
        title: str

    class Sold(Event):
        TOPIC = "kiosk.Paper.Sold"

    class Read(Event):
        TOPIC = "kiosk.Paper.Read"

    @event(Printed)
    def __init__(self, account: UUID, title: str) -> None:
        self.account, self.title = account, title

    @event(Sold)
    def sell(self) -> None:
        pass

    @event(Read)
    def read(self) -> None:
        pass


def project(cursor: Cursor, happened: Any) -> None:
    if isinstance(happened, Paper.Printed):
        cursor.execute("insert into kiosk.papers values (%s, %s)", (happened.originator_id, happened.account))


def publish(happened: Any) -> Sequence[Event]:
    """Printing a paper becomes two public events, reading it none."""
    at = happened.timestamp.timestamp()
    match happened:
        case Paper.Printed():
            opened = Opened(account=happened.account, at=at, name=happened.title)
            return [opened, Sold(account=happened.account, at=at, title=happened.title)]
        case Paper.Sold():
            return [Sold(account=UUID(int=0), at=at, title="again")]
        case _:
            return []
