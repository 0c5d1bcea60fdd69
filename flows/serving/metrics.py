"""Prometheus metrics of the service, in their own registry."""

from collections.abc import Callable, Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from flows.scorer import Scorer

_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5)


class ServiceMetrics:
    """Counters and histograms.

    Args:
        scorer: Scorer whose lag and models are shown.
        running: Returns the number of requests in flight.

    Attributes:
        scored: Counter of rows answered with a probability.
    """

    def __init__(self, scorer: Scorer, running: Callable[[], int]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._seconds = Histogram(
            "headwater_http_seconds",
            "From a request's head to the end of its answer.",
            ["path", "status"],
            registry=self._registry,
            buckets=_BUCKETS_S,
        )
        self._of: dict[tuple[str, int], Histogram] = {}
        self.scored = Counter("headwater_http_scored", "Rows scored.", registry=self._registry)
        self._unseen = Counter(
            "headwater_http_unseen",
            "Rows with a level that the models have never met.",
            ["column"],
            registry=self._registry,
        )
        Gauge(
            "headwater_http_running", "Requests in flight.", registry=self._registry
        ).set_function(running)
        self._registry.register(_OfScorer(scorer))
        ProcessCollector(registry=self._registry)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count a response; the set of paths must be small."""
        child = self._of.get((path, status))
        if child is None:
            child = self._of[path, status] = self._seconds.labels(path, status)
        child.observe(seconds)

    def unseen(self, columns: Iterable[str]) -> None:
        """Count the unseen levels of a row."""
        for column in columns:
            self._unseen.labels(column).inc()

    def text(self) -> bytes:
        """All metrics in Prometheus' text format 0.0.4."""
        return generate_latest(self._registry)


class _OfScorer(Collector):
    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer

    def collect(self) -> Iterable[GaugeMetricFamily]:
        behind = self._scorer.staleness
        yield GaugeMetricFamily(
            "headwater_scorer_behind_seconds",
            "Since all of the log was last known to be seen.",
            behind.seconds,
        )
        yield GaugeMetricFamily(
            "headwater_scorer_behind_records", "Records not seen yet.", behind.records
        )
        yield GaugeMetricFamily(
            "headwater_scorer_trouble",
            "1 if answers may not be the flow's.",
            self._scorer.trouble is not None,
        )
        models = GaugeMetricFamily(
            "headwater_scorer_model", "The offline model in use.", labels=["partition", "model"]
        )
        for partition, model in self._scorer.models.items():
            models.add_metric([str(partition), model or ""], 1)
        yield models
