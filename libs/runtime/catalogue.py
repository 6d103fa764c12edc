"""Which services there are: found by the entry-point group `ezstat.services`, loaded only when asked for."""

from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from libs.runtime.errors import CannotRun
from libs.runtime.service import Service

GROUP = "ezstat.services"


class UnknownService(CannotRun):
    """Somebody named a service that is not installed; the message lists those that are."""


def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


def load_services(names: Sequence[str] = ()) -> list[Service]:
    """The named services in the order asked for, or all by name. Raises `UnknownService`."""
    installed = _installed()
    unknown = [name for name in names if name not in installed]
    if unknown:
        raise UnknownService(f"no service named {', '.join(unknown)}; there are: {', '.join(installed)}")
    services = []
    for name in names or installed:
        service = installed[name].load()
        if not isinstance(service, Service) or service.name != name:
            raise TypeError(f"entry point {name} of {GROUP} is not a Service of that name")
        services.append(service)
    return services


def find_command(words: Sequence[str]) -> tuple[Callable[..., Any], list[str]]:
    """The service command that these words begin with, and the words after its name. Raises `CannotRun`."""
    commands = {name: command for service in load_services() for name, command in service.commands.items()}
    for length in range(len(words), 0, -1):
        name = " ".join(words[:length])
        if name in commands:
            return commands[name], list(words[length:])
    known = sorted(set(commands) - {"first-run", "replay"})
    raise CannotRun(f"no command {' '.join(words)!r}; services have: {', '.join(known) or 'none'}")
