"""What a process tells Prometheus about its requests: by route template and status, never by path or key."""

from collections.abc import Iterator
from weakref import WeakKeyDictionary

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from libs.http.hot import HotPaths

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class RequestMetrics:
    """Counters and durations of the requests that went through ASGI; one per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("service", "method", "route")
        self._requests = Counter("ezstat_http_requests", "Requests answered", (*labels, "status"), registry=registry)
        self._seconds = Histogram(
            "ezstat_http_seconds", "Seconds until the answer began", labels, registry=registry, buckets=BUCKETS
        )

    def observe(self, service: str, method: str, route: str, status: int, seconds: float) -> None:
        self._requests.labels(service, method, route, str(status)).inc()
        self._seconds.labels(service, method, route).observe(seconds)


class HotMetrics(Collector):
    """Counts of hot requests and open connections, read from where they are kept."""

    def __init__(self, paths: HotPaths) -> None:
        self._paths = paths

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(
            "ezstat_http_hot_requests", "Requests answered before ASGI", labels=("route", "status")
        )
        for path, route in self._paths.routes.items():
            for status, count in route.answered.items():
                family.add_metric((path.decode(), status.decode()), count)
        yield family


def watch(registry: CollectorRegistry, paths: HotPaths) -> None:
    """Let a registry tell about hot requests too."""
    registry.register(HotMetrics(paths))


_of_registry: "WeakKeyDictionary[CollectorRegistry, RequestMetrics]" = WeakKeyDictionary()


def request_metrics(registry: CollectorRegistry) -> RequestMetrics:
    """The request metrics of a registry: the apps of a process share one."""
    found = _of_registry.get(registry)
    if found is None:
        found = _of_registry[registry] = RequestMetrics(registry)
    return found


def exposition(registry: CollectorRegistry) -> bytes:
    """Everything in Prometheus's text format."""
    return generate_latest(registry)
