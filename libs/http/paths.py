"""Paths as sent: matched undecoded, so that a `/` in a name may be written `%2F`."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute

from libs.http.errors import BadRequest

UNKNOWN = "(unknown)"


def path_text(value: str) -> str:
    """A path parameter as text. Raises `BadRequest` for what is not percent-encoded UTF-8, or holds a NUL (which no
    database text can)."""
    try:
        text = unquote_to_bytes(value).decode()
    except UnicodeDecodeError:
        raise BadRequest("The path is not UTF-8.") from None
    if "\0" in text:
        raise BadRequest("The path holds a NUL character.")
    return text


@dataclass(frozen=True)
class Found:
    """What is at a path: the template that names it in metrics (raw paths hold names and keys), the methods it takes
    (sorted; none for an unknown path), and whether the framework parses the body there."""

    template: str
    methods: tuple[str, ...]
    parsed: bool


class RouteTable:
    """All routes of an app, whichever router they are in."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._rows = [context for context in iter_route_contexts(routes) if context.path_format is not None]

    def find(self, path: str, method: str) -> Found:
        """What is at an undecoded path; for HEAD the template of the route for GET."""
        rows = [row for row in self._rows if row.path_regex.match(path)]
        if not rows:
            return Found(UNKNOWN, (), False)
        methods = {method for row in rows for method in row.methods or ()} | {"OPTIONS"}
        if "GET" in methods and not counts_on_get(path):
            methods.add("HEAD")
        wanted = "GET" if method == "HEAD" else method
        row = next((row for row in rows if wanted in (row.methods or ())), rows[0])
        return Found(row.path_format or UNKNOWN, tuple(sorted(methods)), getattr(row, "body_field", None) is not None)


def counts_on_get(path: str) -> bool:
    """Does a GET of this path record something? Then HEAD is not offered: it must be safe."""
    return path in ("/ez", "/c", "/v", "/api/public/collect.gif")
