"""The table of all metrics."""

from flows.watch.estimate_metrics import ESTIMATES
from flows.watch.machine_metrics import MACHINE, SERVING
from flows.watch.metric import Metric
from flows.watch.model_metrics import MODELS, QUALITY
from flows.watch.stream_metrics import PARTITIONS, RECORDS, SOURCES, WATCH

TABLE: tuple[Metric, ...] = (
    *WATCH,
    *PARTITIONS,
    *RECORDS,
    *SOURCES,
    *QUALITY,
    *ESTIMATES,
    *MODELS,
    *MACHINE,
    *SERVING,
)
"""Names differ."""
