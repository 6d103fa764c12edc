"""What ingest tells Prometheus: points taken, frames on their way, and how far its followers are."""

from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from libs.bus.data import DataFollower
from services.ingest.groups import GroupCommit
from services.ingest.spool import Spool


class IntakeMetrics(Collector):
    """Counts kept by the group commits of an HTTP process."""

    def __init__(self, commits: Sequence[GroupCommit], spool: Spool) -> None:
        self._commits = commits
        self._spool = spool

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        points = CounterMetricFamily("ezstat_points", "Points by how they ended", labels=("partition", "outcome"))
        frames = CounterMetricFamily("ezstat_frames", "Frames acknowledged", labels=("partition",))
        for commit in self._commits:
            partition = str(commit.partition)
            points.add_metric((partition, "acknowledged"), commit.acknowledged)
            points.add_metric((partition, "refused"), commit.refused)
            points.add_metric((partition, "spooled"), commit.spooled)
            frames.add_metric((partition,), commit.frames)
        yield points
        yield frames
        yield GaugeMetricFamily("ezstat_spool_bytes", "Bytes in the spool of this process", value=self._spool.bytes)


class WriterMetrics(Collector):
    """How far the writers of a work process are."""

    def __init__(self, writers: Sequence[DataFollower]) -> None:
        self._writers = writers

    def collect(self) -> Iterator[GaugeMetricFamily]:
        lag = GaugeMetricFamily("ezstat_writer_lag_frames", "Frames that wait for the writer", labels=("partition",))
        troubled = GaugeMetricFamily("ezstat_writer_troubled", "1 while the writer waits", labels=("partition",))
        for partition, writer in enumerate(self._writers):
            lag.add_metric((str(partition),), writer.lag())
            troubled.add_metric((str(partition),), float(bool(writer.trouble)))
        yield lag
        yield troubled
