"""What a service is to the house: the only shape that `services/<name>/service.py` has to fill."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import FastAPI

    from libs.http.protocol import HotHandler
    from libs.runtime.process import Process


@dataclass(frozen=True)
class Route:
    """One row of the gateway's table: a path prefix (or an exact path) that a service answers.

    `credential` narrows the row to requests whose key starts with one of these prefixes, `query` to those that have
    this query parameter; the most specific row wins.
    """

    path: str
    exact: bool = False
    credential: tuple[str, ...] = ()
    query: str = ""


@dataclass(frozen=True)
class HttpSide:
    """What a service answers over HTTP. `hot` paths are answered before ASGI."""

    app: "FastAPI"
    hot: "dict[bytes, HotHandler]" = field(default_factory=dict)


@dataclass(frozen=True)
class Service:
    """A bounded context. `name` is also its Postgres schema and names its event stream.

    `http` and `work` are entered with everything a process has and left at its end; inside `work`, followers and tasks
    run until then. An error that escapes a task ends the process loudly; the supervisor starts it again.
    """

    name: str
    schema: str
    routes: Sequence[Route]
    http: "Callable[[Process], AbstractAsyncContextManager[HttpSide]] | None" = None
    work: "Callable[[Process], AbstractAsyncContextManager[Any]] | None" = None
    commands: dict[str, Callable[..., Any]] = field(default_factory=dict)
