"""Makes docs/asyncapi.yaml out of libs/contracts: python -m tests.house.asyncapi"""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import yaml

from libs import contracts
from libs.bus.history import HistoryAsked, HistoryPage, Told, history_subject
from libs.bus.streams import events_stream
from libs.contracts import accounts, ingest
from libs.contracts.envelope import Event

DOCUMENT = Path(__file__).parents[2] / "docs" / "asyncapi.yaml"
Struct = type[msgspec.Struct]

NOT_SAID = (Event, ingest.OpenFrame)
"""What all events have in common, and a frame while it is filled."""

JSON, MSGPACK = "application/json", "application/msgpack"

ABOUT = """\
What EzStat's services say to each other over NATS. Made from libs/contracts by `python -m tests.house.asyncapi`; a test
compares them.

Three kinds of subjects:
- Facts in JetStream streams. Events (control plane) are CloudEvents in NATS' binary form: attributes in headers, the
  contract as JSON. Frames (data plane) are msgpack. Followers keep their position in their own transaction, so that
  what is delivered twice counts once.
- Questions with an answer (request and reply, core NATS), asked of one process of the service that is named.
- Broadcasts (core NATS), heard by whoever listens at that moment.

Fields are only ever added, with a default; anything else is a new name.
"""

STREAMS = f"""\
Streams, all on disk and fsynced before the acknowledgement (`sync_interval: always`):
- POINTS_n, one per partition, subject points.n: frames. Size EZSTAT_STREAM_BYTES; a full one refuses (discard new).
  Purged below its slowest follower, keeping 24 hours while it is less than half full.
- {events_stream("accounts")} and {events_stream("ingest")}, subjects service.Event.account: events of 72 hours. The
  relay of the service is the only writer; what is older is asked for at service.history.
- PARKED, subjects parked.schema.follower: copies of messages that a follower could not handle, with the headers
  Ez-Stream, Ez-Sequence and Ez-Reason.
"""

HEADERS = {
    "type": "object",
    "properties": {
        "Nats-Msg-Id": {"type": "string", "description": "<service>:<ce-id>"},
        "ce-specversion": {"const": "1.0"},
        "ce-id": {"type": "string", "description": "A growing number, unique per source; may have gaps"},
        "ce-source": {"type": "string", "description": "/ezstat/<service>"},
        "ce-type": {"type": "string", "description": "<service>.<Event>"},
        "ce-time": {"type": "string", "format": "date-time"},
        "ce-subject": {"type": "string", "format": "uuid", "description": "The account"},
        "content-type": {"const": JSON},
        "traceparent": {"type": "string", "description": "W3C Trace Context of the request behind it, if any"},
    },
    "required": ["Nats-Msg-Id", "ce-specversion", "ce-id", "ce-source", "ce-type", "ce-time", "ce-subject"],
}
FRAME_HEADERS = {
    "type": "object",
    "properties": {"Nats-Msg-Id": {"type": "string", "description": "<epoch>:<seq> of the frame"}},
    "required": ["Nats-Msg-Id"],
}


@dataclass(frozen=True)
class Spoken:
    """A subject that is not an event's: who sends what to it, and what is answered (None: nothing)."""

    subject: str
    title: str
    says: Struct
    answer: Struct | None = None


SPOKEN = (
    Spoken(
        accounts.RESOLVE_KEY,
        "A ring asks accounts for a key it does not know",
        accounts.ResolveKey,
        accounts.KeyResolved,
    ),
    Spoken(
        accounts.RING_DROP,
        "Accounts asks every ring to forget keys; each answers",
        accounts.RingDrop,
        accounts.RingDropped,
    ),
    Spoken(accounts.RING_BEAT, "A ring lives, once a second", accounts.RingBeat),
    Spoken(accounts.RING_LEFT, "A ring ended, or was seen dead by the supervisor", accounts.RingBeat),
    Spoken(accounts.RING_USED, "Which keys were used, about once a minute", accounts.KeyUsed),
    Spoken(ingest.STATS_FORGOTTEN, "What caches know of these stats is no longer true", ingest.StatsForgotten),
    Spoken(
        ingest.SERIES,
        "A service asks ingest for a stat's history, before it follows",
        ingest.SeriesAsked,
        ingest.SeriesTold,
    ),
    Spoken(
        history_subject("{service}"),
        "Events that the stream holds no more, from the producer's store",
        HistoryAsked,
        HistoryPage,
    ),
)


def structs() -> Iterator[Struct]:
    """Every struct of libs/contracts that travels."""
    for module in pkgutil.iter_modules(contracts.__path__):
        for _, each in inspect.getmembers(
            importlib.import_module(f"{contracts.__name__}.{module.name}"), inspect.isclass
        ):
            if issubclass(each, msgspec.Struct) and each.__module__.endswith(module.name) and each not in NOT_SAID:
                yield each


def events() -> list[type[Event]]:
    return [each for each in structs() if issubclass(each, Event)]


def document() -> dict[str, Any]:
    """The AsyncAPI document."""
    told = [each for spoken in SPOKEN for each in (spoken.says, spoken.answer) if each is not None]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "EzStat's bus",
            "version": version("ezstat"),
            "description": f"{ABOUT}\n{STREAMS}",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": JSON,
        "servers": {"nats": {"host": "{host}", "protocol": "nats", "variables": {"host": {"description": "NATS_URL"}}}},
        "channels": _channels(),
        "operations": _operations(),
        "components": {
            "messages": _messages(told),
            "schemas": _schemas([*events(), *told, Told, ingest.Frame]),
        },
    }


def _schema(of: Struct) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{of.__name__}"}


def _doc(of: Struct) -> dict[str, str]:
    own = inspect.getdoc(of) if of.__doc__ else None
    return {"summary": own.splitlines()[0]} if own and not own.startswith(f"{of.__name__}(") else {}


def _messages(told: list[Struct]) -> dict[str, Any]:
    facts = {
        event.__name__: {"name": event.type_name(), **_doc(event), "headers": HEADERS, "payload": _schema(event)}
        for event in events()
    }
    frame = {"name": "frame", **_doc(ingest.Frame), "contentType": MSGPACK, "headers": FRAME_HEADERS}
    said = {each.__name__: {"name": each.__name__, **_doc(each), "payload": _schema(each)} for each in told}
    return facts | {"Frame": frame | {"payload": _schema(ingest.Frame)}} | said


def _channel(address: str | None, *messages: Struct, **more: Any) -> dict[str, Any]:
    refs = {each.__name__: {"$ref": f"#/components/messages/{each.__name__}"} for each in messages}
    return {"address": address, **more, "messages": refs}


def _channels() -> dict[str, Any]:
    account = {"account": {"description": "UUID of the account"}}
    channels = {
        event.type_name(): _channel(f"{event.type_name()}.{{account}}", event, parameters=account) for event in events()
    }
    partition = {"partition": {"description": "CRC-32 of the account's UUID bytes, modulo EZSTAT_PARTITIONS"}}
    channels["points"] = _channel("points.{partition}", ingest.Frame, parameters=partition)
    service = {"service": {"enum": sorted({event.SERVICE for event in events()})}}
    for spoken in SPOKEN:
        more = {"parameters": service} if "{" in spoken.subject else {}
        channels[_id(spoken)] = _channel(spoken.subject, spoken.says, title=spoken.title, **more)
        if spoken.answer is not None:
            channels[f"{_id(spoken)}.answer"] = _channel(None, spoken.answer, title="The asker's own inbox")
    return channels


def _id(spoken: Spoken) -> str:
    return spoken.subject.replace("{service}.", "")


def _operations() -> dict[str, Any]:
    operations = {
        f"tell.{name}": {"action": "send", "channel": {"$ref": f"#/channels/{name}"}}
        for name in ("points", *(event.type_name() for event in events()))
    }
    for spoken in SPOKEN:
        operation: dict[str, Any] = {"action": "send", "channel": {"$ref": f"#/channels/{_id(spoken)}"}}
        if spoken.answer is not None:
            operation["reply"] = {"channel": {"$ref": f"#/channels/{_id(spoken)}.answer"}}
        operations[f"say.{_id(spoken)}"] = operation
    return operations


def _schemas(told: list[Struct]) -> dict[str, Any]:
    _, schemas = msgspec.json.schema_components(told, ref_template="#/components/schemas/{name}")
    for each in {each.__name__: each for each in (*structs(), Told)}.values():
        schema = schemas.get(each.__name__)
        if schema is not None and "prefixItems" in schema:  # columns have names too
            for name, item in zip(each.__struct_fields__, schema["prefixItems"], strict=True):
                item["title"] = name
        if schema is not None and "description" in schema:
            schema["description"] = inspect.cleandoc(schema["description"])
    return dict(sorted(schemas.items()))


class _Dumper(yaml.SafeDumper):
    """Repeats what is the same, rather than pointing at it; keeps lines of prose."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def text() -> str:
    return yaml.dump(document(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


if __name__ == "__main__":
    DOCUMENT.write_text(text())
