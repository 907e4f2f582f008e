"""Counters, gauges and histograms by their declared names, with a limit on the series of each."""

from collections.abc import Callable, Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as PrometheusMetric
from prometheus_client.registry import Collector

from trimtab.telemetry.table import METRICS, Metric, MetricKind

LABEL_SETS_PER_METRIC_MAX = 5_000


class _Watches(Collector):
    """Run the watches; has no metrics of its own."""

    def __init__(self, watches: list[Callable[[], None]]) -> None:
        self._watches = watches

    def collect(self) -> Iterable[PrometheusMetric]:
        for watch in self._watches:
            watch()
        return ()


class Instruments:
    """The declared metrics in the registry that is handed in; safe to call from any thread.

    `process` adds the process's CPU time, memory and files. Metrics are named by their declared name; an unknown
    name is a KeyError, a wrong number of labels a ValueError: both are bugs.
    """

    def __init__(self, registry: CollectorRegistry, process: bool = True) -> None:
        self._watches: list[Callable[[], None]] = []
        self._totals: dict[tuple[str, tuple[str, ...]], float] = {}
        # First in the registry, so that every exposition asks the watches before it reads a value.
        registry.register(_Watches(self._watches))
        # A `_created` beside each counter doubles what is stored and is used by nothing here.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        self._label_sets: dict[str, set[tuple[str, ...]]] = {}
        for metric in METRICS:
            self._declare(metric)
        if process:
            ProcessCollector(registry=registry)

    def _declare(self, metric: Metric) -> None:
        labels = metric.labels
        match metric.kind:
            case MetricKind.COUNTER:
                counter = Counter(metric.name, metric.help, labels, registry=self.registry)
                self._counters[metric.name] = counter
            case MetricKind.GAUGE:
                gauge = Gauge(metric.name, metric.help, labels, registry=self.registry)
                self._gauges[metric.name] = gauge
            case MetricKind.HISTOGRAM:
                self._histograms[metric.name] = Histogram(
                    metric.name, metric.help, labels, registry=self.registry, buckets=metric.buckets
                )
        self._label_sets[metric.name] = set()

    def _admit(self, name: str, labels: tuple[str, ...]) -> bool:
        known = self._label_sets[name]
        if labels in known:
            return True
        if len(known) >= LABEL_SETS_PER_METRIC_MAX:
            self._counters["trimtab_telemetry_label_sets_refused_total"].labels(name).inc()
            return False
        known.add(labels)
        return True

    def count(self, name: str, amount: float, *labels: str) -> None:
        """Add to a counter."""
        counter = self._counters[name]
        if self._admit(name, labels):
            (counter.labels(*labels) if labels else counter).inc(amount)

    def total(self, name: str, value: float, *labels: str) -> None:
        """Raise a counter to a total that somebody else keeps; one that fell back began anew."""
        before = self._totals.get((name, labels), 0.0)
        self._totals[name, labels] = value
        self.count(name, value - before if value >= before else value, *labels)

    def watch(self, read: Callable[[], None]) -> None:
        """Have `read` called before each exposition: it sets what is cheaper to ask for than to report."""
        self._watches.append(read)

    def gauge(self, name: str, value: float | None, *labels: str) -> None:
        """Set a gauge; None takes the series out of the exposition: nothing is known of it."""
        gauge = self._gauges[name]
        if value is None:
            if labels in self._label_sets[name]:
                self._label_sets[name].discard(labels)
                gauge.remove(*labels)
        elif self._admit(name, labels):
            (gauge.labels(*labels) if labels else gauge).set(value)

    def time(self, name: str, seconds: float, *labels: str) -> None:
        """Add a duration to a histogram."""
        histogram = self._histograms[name]
        if self._admit(name, labels):
            (histogram.labels(*labels) if labels else histogram).observe(seconds)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """Return what /metrics answers and its content type, in the format that `Accept` asks for."""
        encoder, content_type = choose_encoder(accept)
        return encoder(self.registry), content_type
