"""Prometheus metrics of the service. They come from the database, so every API process reports the same values."""

import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from core.domain.run import RunStatus, TaskStatus
from core.domain.stages import STAGES, Queue
from core.errors import StorageUnavailableError
from core.store.database import counters
from core.store.database.counters import Counter, Histogram, Labels
from core.store.database.session import Database
from core.store.engine import counts as counted
from core.store.queries import gauges
from core.store.queries.gauges import Gauges

ValuesOfLabels = Mapping[str, Sequence[str]]
"""For each label, in order, the values that are exported even at zero. `rate()` needs the zero before an increase."""

RUNS: ValuesOfLabels = {"status": tuple(RunStatus)}
TASK_STATUSES: ValuesOfLabels = {"stage": tuple(STAGES), "status": (TaskStatus.QUEUED, TaskStatus.RUNNING)}
QUEUES: ValuesOfLabels = {"queue": tuple(Queue)}
WORKERS: ValuesOfLabels = {"queue": tuple(Queue), "device": ("cpu", "cuda")}


def make_registry(database: Database, artifacts: Path, *, version: str) -> CollectorRegistry:
    """Make a registry with the service's metrics and this process's memory, CPU time and open files.

    Args:
        database: where the metrics are read.
        artifacts: folder whose free space is exported.
        version: version of Embedreel, exported as a label.
    """
    registry = CollectorRegistry()
    registry.register(_Service(database, artifacts, version))
    ProcessCollector(registry=registry)
    return registry


class _Service(Collector):
    """Reads the service's metrics at each scrape."""

    def __init__(self, database: Database, artifacts: Path, version: str) -> None:
        self._database = database
        self._artifacts = artifacts
        self._version = version

    def describe(self) -> Iterable[Metric]:
        """Return no metrics. Registration calls this before the database is open."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Yield all metrics. If the database does not answer, yield only the metrics that do not need it."""
        yield _gauge(
            "embedreel_build_info",
            "Always 1; the label is the version of this process",
            {"version": ()},
            {(self._version,): 1},
        )
        yield from _free(self._artifacts)
        try:
            with self._database.reading() as session:
                measured, counts = gauges.measure(session), counters.read(session)
        except StorageUnavailableError:
            measured = None
        yield _gauge("embedreel_database_up", "1 if the database answers, else 0", {}, {(): measured is not None})
        if measured is not None:
            yield from _gauges(measured)
            yield from (_counter(counter, counts) for counter in counted.COUNTERS)
            yield from (_histogram(histogram, counts) for histogram in counted.HISTOGRAMS)


def _free(folder: Path) -> Iterable[Metric]:
    try:
        free = shutil.disk_usage(folder).free
    except OSError:  # the folder does not exist or cannot be read now
        return
    yield _gauge("embedreel_artifacts_free_bytes", "Free space where artifacts are stored", {}, {(): free})


def _gauges(measured: Gauges) -> Iterable[Metric]:
    runs = {(status,): count for status, count in measured.runs.items()}
    queues = {(queue,): waiting for queue, waiting in measured.queues.items()}
    yield _gauge("embedreel_runs", "Runs, by status", RUNS, runs)
    yield _gauge("embedreel_stages", "Stages that are queued or running", TASK_STATUSES, measured.tasks)
    yield _gauge(
        "embedreel_queue_stages",
        "Stages that wait for a worker",
        QUEUES,
        {queue: waiting.tasks for queue, waiting in queues.items()},
    )
    yield _gauge(
        "embedreel_queue_age_seconds",
        "Waiting time of the oldest queued stage, seconds",
        QUEUES,
        {queue: waiting.age_seconds for queue, waiting in queues.items()},
    )
    yield _gauge("embedreel_workers", "Workers with a recent heartbeat", WORKERS, measured.workers)
    yield _gauge(
        "embedreel_webhook_deliveries_pending",
        "Webhook deliveries that are not sent yet",
        {},
        {(): measured.deliveries},
    )


def _gauge(name: str, text: str, labels: ValuesOfLabels, values: Mapping[Any, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=list(labels))
    for series, value in {**_zeros(labels), **values}.items():
        family.add_metric(series, value)
    return family


def _counter(counter: Counter, counts: Mapping[str, Mapping[Labels, float]]) -> Metric:
    family = CounterMetricFamily(counter.name, counter.help, labels=list(counter.labels))
    values = _by_values(counter.labels, counts.get(counter.name, {}))
    for series, value in {**_zeros(counter.labels), **values}.items():
        family.add_metric(series, value)
    return family


def _histogram(histogram: Histogram, counts: Mapping[str, Mapping[Labels, float]]) -> Metric:
    family = HistogramMetricFamily(histogram.name, histogram.help, labels=list(histogram.labels))
    sums = _by_values(histogram.labels, counts.get(f"{histogram.name}_sum", {}))
    counted_by_bucket: dict[tuple[str, ...], list[tuple[float, float]]] = {}
    for found, value in counts.get(f"{histogram.name}_bucket", {}).items():
        counted_by_bucket.setdefault(_ordered(histogram.labels, found), []).append((float(dict(found)["le"]), value))
    for series, total in {**_zeros(histogram.labels), **sums}.items():
        family.add_metric(series, _cumulative(histogram, counted_by_bucket.get(series, [])), total)
    return family


def _cumulative(histogram: Histogram, counted: Sequence[tuple[float, float]]) -> list[tuple[str, float]]:
    """Return the number of observations at or below each bound. `counted` has (bound, count) for each single bucket."""
    return [
        ("+Inf" if bound == math.inf else str(float(bound)), sum(value for below, value in counted if below <= bound))
        for bound in histogram.buckets
    ]


def _zeros(labels: ValuesOfLabels) -> dict[tuple[str, ...], float]:
    return dict.fromkeys(product(*labels.values()), 0.0)


def _by_values(labels: ValuesOfLabels, counts: Mapping[Labels, float]) -> dict[tuple[str, ...], float]:
    return {_ordered(labels, found): value for found, value in counts.items()}


def _ordered(labels: ValuesOfLabels, found: Labels) -> tuple[str, ...]:
    values = dict(found)
    return tuple(values.get(label, "") for label in labels)
