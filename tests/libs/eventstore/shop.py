"""A little domain for these tests: shelves of an account, each with a name of its own."""

from typing import Any
from uuid import UUID

from eventsourcing.domain import Aggregate, event
from psycopg import Cursor

SCHEMA = """
create table if not exists shop.shelves (
    id uuid primary key, account uuid not null, name text not null, books int not null default 0,
    constraint one_shelf_of_a_name unique (account, name)
);
create table if not exists shop.secrets (id int primary key, word text not null);
select house.protect('shop.shelves');
"""


class Shelf(Aggregate):
    TOPIC = "shop.Shelf"

    class Event(Aggregate.Event):
        TOPIC = "shop.Shelf.Event"

    class Built(Aggregate.Created):
        TOPIC = "shop.Shelf.Built"
        account: UUID
        name: str
        tags: frozenset[str]
        seal: bytes

    class Filled(Event):
        TOPIC = "shop.Shelf.Filled"
        books: int

    @event(Built)
    def __init__(self, account: UUID, name: str, tags: frozenset[str] = frozenset(), seal: bytes = b"") -> None:
        self.account, self.name, self.tags, self.seal, self.books = account, name, tags, seal, 0

    @event(Filled)
    def fill(self, books: int) -> None:
        self.books += books


def project(cursor: Cursor, happened: Any) -> None:
    match happened:
        case Shelf.Built():
            cursor.execute(
                "insert into shop.shelves(id, account, name) values (%s, %s, %s)",
                (happened.originator_id, happened.account, happened.name),
            )
        case Shelf.Filled():
            cursor.execute(
                "update shop.shelves set books = books + %s where id = %s", (happened.books, happened.originator_id)
            )
