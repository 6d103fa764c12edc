"""One route table out of the services' rows, for the dispatcher inside a process and for nginx in front of many.

Both match the same regular expressions against the same line, `<key> <path as sent>?<query>`, row by row: what is
proved for one holds for the other. Paths are matched as sent, never decoded: `%2F` in a stat's name stays there.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from libs.runtime.service import HttpSide, Route, Service

if TYPE_CHECKING:
    from libs.http.hot import HotEntry

ASGI = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Any]], Callable[[MutableMapping[str, Any]], Awaitable[None]]],
    Awaitable[None],
]
KEY_PARAMETERS = ("api_key", "ukey", "ezkey")  # where a key may stand in a query, in this order


class RouteConflict(ValueError):
    """Two services claim the same row or the same hot path."""


@dataclass(frozen=True)
class Row:
    """A route with the service that answers it. `pattern` works in Python and in PCRE."""

    route: Route
    service: str

    @property
    def pattern(self) -> str:
        return f"^{self._key()} {self.path_pattern}{self._query()}"

    @property
    def path_pattern(self) -> str:
        path = _literal(self.route.path if self.route.exact else self.route.path.rstrip("/"))
        if self.route.exact:
            return f"{path}(?=[?]|$)"
        return f"{path}(?=[/?]|$)"

    def _key(self) -> str:
        if not self.route.credential:
            return "[^ ]*"
        return f"(?:{'|'.join(_literal(prefix) for prefix in self.route.credential)})[^ ]*"

    def _query(self) -> str:
        return f"[^?]*[?](?:[^ ]*&)?{_literal(self.route.query)}(?:[=&]|$)" if self.route.query else ""

    def precedence(self) -> tuple[int, bool, bool, bool]:
        """Sorts the most specific row first."""
        route = self.route
        return (-len(route.path.rstrip("/")), not route.exact, not route.query, not route.credential)


def _literal(text: str) -> str:
    """Text that matches itself, without backslashes, which nginx would read first."""
    return re.sub(r"[^A-Za-z0-9/_~-]", lambda found: f"[{found[0]}]", text)


def table(services: Sequence[Service]) -> list[Row]:
    """All rows, the most specific first. Raises `RouteConflict` when two services claim the same."""
    rows: dict[str, Row] = {}
    for service in services:
        for route in service.routes:
            row = Row(route, service.name)
            taken = rows.setdefault(row.pattern, row)
            if taken.service != service.name:
                raise RouteConflict(f"{route.path} is claimed by {taken.service} and by {service.name}")
    return sorted(rows.values(), key=Row.precedence)


def merge_hot(sides: Mapping[str, HttpSide]) -> "dict[bytes, HotEntry]":
    """The hot paths of all services in one table."""
    merged: dict[bytes, HotEntry] = {}
    for name, side in sides.items():
        for path, handler in side.hot.items():
            if path in merged:
                raise RouteConflict(f"{path.decode()} of {name} is hot in another service too")
            merged[path] = handler
    return merged


class Table:
    """Says for a request which service answers it."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._names = [row.service for row in rows]
        self._pattern = re.compile("|".join(f"({row.pattern})" for row in rows).encode())

    def service_of(self, path: bytes, query: bytes = b"", authorization: bytes = b"") -> str | None:
        """The service of a request; None when no row fits."""
        line = b"%b %b" % (presented_key(query, authorization), path)
        found = self._pattern.match(b"%b?%b" % (line, query) if query else line)
        return None if found is None or found.lastindex is None else self._names[found.lastindex - 1]


_BEARER = re.compile(rb"Bearer +([^ ]+)", re.IGNORECASE)
_IN_QUERY = [re.compile(rb"(?:^|&)%b=([^&]*)" % name.encode(), re.IGNORECASE) for name in KEY_PARAMETERS]


def presented_key(query: bytes, authorization: bytes) -> bytes:
    """The key that a request shows in its head: Bearer first, else in the query; b"" for none."""
    bearer = _BEARER.match(authorization)
    if bearer is not None:
        return bearer[1]
    for parameter in _IN_QUERY:
        found = parameter.search(query)
        if found is not None and found[1]:
            return found[1]
    return b""


def dispatch(services: Sequence[Service], sides: Mapping[str, HttpSide]) -> ASGI:
    """One ASGI application for several services in one process. What no row covers is answered by the service of the
    least specific row, so that the answer has the look of the house. The services are entered by the role, so there
    is no lifespan here."""
    rows = table([service for service in services if service.name in sides])
    routes = Table(rows)
    apps: dict[str, ASGI] = {name: side.app for name, side in sides.items()}
    fallback = rows[-1].service if rows else next(iter(apps))

    async def answer(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise ValueError(f"EzStat speaks HTTP, not {scope['type']}")
        authorization = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        path = scope.get("raw_path") or scope["path"].encode()
        name = routes.service_of(path, scope["query_string"], authorization)
        await apps[name or fallback](scope, receive, send)

    return answer
