"""Which services there are: found by the entry-point group `ezstat.services`, loaded only when asked for."""

from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points

from libs.runtime.service import Service

GROUP = "ezstat.services"


class UnknownService(ValueError):
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
