"""What a service is to the house: the only shape that `services/<name>/service.py` has to fill."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from fastapi import FastAPI

    from libs.http.hot import HotEntry
    from libs.runtime.process import Process

MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Route:
    """One row of the gateway's table: a path prefix (or an exact path) that a service answers.

    A prefix ends at a segment: `/api/v1/stats` covers itself and `/api/v1/stats/...`, not `/api/v1/statsheet`; `/`
    covers everything. `credential` narrows the row to requests whose key (Bearer, or a key in the query) starts with
    one of these prefixes, `query` to those that have this query parameter; the most specific row wins: the longer
    path, then exact before prefix, then the narrower. `body` is the largest body in bytes (0: no limit, the service
    counts for itself); `streams` says that bodies and answers must not be buffered on the way (live streams, uploads);
    `secret` that the segment after the path is a secret that no log may show.
    """

    path: str
    exact: bool = False
    credential: tuple[str, ...] = ()
    query: str = ""
    body: int = MEBIBYTE
    streams: bool = False
    secret: bool = False


@dataclass(frozen=True)
class HttpSide:
    """What a service answers over HTTP. `hot` paths are answered before ASGI."""

    app: "FastAPI"
    hot: "dict[bytes, HotEntry]" = field(default_factory=dict)


class Command(Protocol):
    """What a service adds to the `ezstat` command: `commands["keys create"]` is run by `ezstat keys create ...`.

    `arguments` are the words after the name (parse them with argparse, `prog="ezstat keys create"`); the answer is
    the text to print, "" for none. It runs in a process of role "work" with everything open. Raise
    `CannotRun("text")` when it can't be done.
    """

    def __call__(self, process: "Process", arguments: Sequence[str]) -> Awaitable[str]: ...


class Welcome(Protocol):
    """What `ezstat up` tells the operator; answer of `await commands["first-run"](process)`.

    first-run is the one command that is called with the process alone. It runs after every migration and before HTTP is
    ready, at each start: it makes what the environment asks for (first user, first account) if it is not there.
    """

    @property
    def url(self) -> str:
        """The one-time set-up link; "" once somebody signed up."""
        ...

    @property
    def curl(self) -> str:
        """A line that works when pasted into a shell; "" for none."""
        ...


@dataclass(frozen=True)
class Service:
    """A bounded context. `name` is also its Postgres schema and names its event stream; `schema` is the text of its
    schema.sql ("" when it owns no data).

    `http` and `work` are entered with everything a process has and left at its end; inside `work`, followers and tasks
    run until then (`process.tasks.create_task(...)`; they are cancelled when all services have left). An error that
    escapes a task ends the process loudly; the supervisor starts it again.

    `commands` are `Command`s; the names "first-run" (see `Welcome`) and "replay" (rebuild this service's read models;
    `ezstat replay [service ...]`) are known to the house.
    """

    name: str
    schema: str
    routes: Sequence[Route]
    http: "Callable[[Process], AbstractAsyncContextManager[HttpSide]] | None" = None
    work: "Callable[[Process], AbstractAsyncContextManager[Any]] | None" = None
    commands: dict[str, Callable[..., Any]] = field(default_factory=dict)
