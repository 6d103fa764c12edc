"""An event stored by an older version is read as today's: the class says how, the topic stays."""

from uuid import uuid4

from eventsourcing.domain import Aggregate, event

from libs.eventstore.database import connect
from libs.eventstore.store import EventStore


class Rule(Aggregate):
    TOPIC = "shop.Rule"

    class Event(Aggregate.Event):
        TOPIC = "shop.Rule.Event"

    class Made(Aggregate.Created):
        """Version 1 had `condition` and no window: it was a minute."""

        TOPIC = "shop.Rule.Made"
        class_version = 2
        operator: str
        window: int

        @staticmethod
        def upcast_v1_v2(state: dict) -> None:
            state["operator"] = state.pop("condition")
            state["window"] = 60

    @event(Made)
    def __init__(self, operator: str, window: int) -> None:
        self.operator, self.window = operator, window


STORED_BY_VERSION_1 = (
    b'{"timestamp":{"_type_":"datetime_iso","_data_":"2026-01-02T03:04:05+00:00"},'
    b'"originator_topic":"shop.Rule","condition":">"}'
)


async def test_an_old_event_is_read_by_todays_class(dsn: str, store: EventStore):
    old = uuid4()
    with connect(dsn) as connection:
        connection.execute(
            "insert into shop.shop_events(originator_id, originator_version, topic, state) values (%s, 1, %s, %s)",
            (old, "shop.Rule.Made", STORED_BY_VERSION_1),
        )
    rule = await store.get(old)
    assert (type(rule), rule.operator, rule.window) == (Rule, ">", 60)
    assert store.events_after(0, 100_000)[-1].event.operator == ">"


async def test_a_new_event_is_stored_with_its_version_and_left_as_it_is(store: EventStore):
    rule = Rule(operator="<", window=5)
    await store.save(rule)
    assert (await store.get(rule.id)).window == 5
