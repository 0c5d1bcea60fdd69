"""The newest sample in Prometheus' text format, made when it is asked for."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from flows.watch.metric import Metric
from flows.watch.metrics import TABLE
from flows.watch.sample import Sample


class SampleCollector(Collector):
    """Makes all metrics of the table at each scrape.

    Args:
        newest: The newest sample; None before the first.
    """

    def __init__(self, newest: Callable[[], Sample | None]) -> None:
        self._newest = newest

    def collect(self) -> Iterable[Family]:
        """One family for each metric; without points where the sample has none."""
        sample = self._newest()
        for metric in TABLE:
            if sample is not None and metric.points is not None:
                family = _family(metric)
                for labels, value in metric.points(sample):
                    family.add_metric(labels, value)
                yield family


def exposition(newest: Callable[[], Sample | None]) -> bytes:
    """Text format 0.0.4."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(SampleCollector(newest))
    return generate_latest(registry)


def _family(metric: Metric) -> CounterMetricFamily | GaugeMetricFamily:
    if metric.kind == "counter":
        name = metric.name.removesuffix("_total")
        return CounterMetricFamily(name, metric.help, labels=metric.labels)
    return GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
