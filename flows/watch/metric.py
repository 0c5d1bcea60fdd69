"""A metric: its name, type, unit, meaning and labels, and how it follows from a sample."""

from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from flows.watch.sample import LogSample, Sample

Points = Iterable[tuple[tuple[str, ...], float]]
"""Label values in the order of the labels, and the value."""

Unit = Literal["", "s", "bytes", "records", "ratio", "nats", "time"]


class Metric(NamedTuple):
    """A row of the table from which exposition, rules, dashboards, pages and documents are made.

    Attributes:
        name: Name in Prometheus; a counter's name ends with `_total`.
        kind: A counter only grows, until the watcher starts again or the log is another.
        unit: `time` is Unix time in seconds; empty: a plain number.
        help: Description, a sentence.
        labels: Names of the labels.
        source: Topic, file or process of the figures.
        points: Returns the values in a sample; None: `headwater serve` has the metric in its own
            `/metrics`.
    """

    name: str
    kind: Literal["counter", "gauge"]
    unit: Unit
    help: str
    labels: tuple[str, ...]
    source: str
    points: Callable[[Sample], Points] | None


def one(value: Callable[[Sample], float | None]) -> Callable[[Sample], Points]:
    """A metric without labels; no value, no point."""

    def points(sample: Sample) -> Points:
        found = value(sample)
        return [] if found is None else [((), found)]

    return points


def of_log(value: Callable[[LogSample], float | None]) -> Callable[[Sample], Points]:
    """A metric without labels that needs the log to have been read."""
    return one(lambda sample: None if sample.log is None else value(sample.log))


def each(values: Callable[[LogSample], Iterable[tuple[object, float | None]]]) -> Callable[
    [Sample], Points
]:  # fmt: skip
    """A metric with one label that needs the log to have been read."""

    def points(sample: Sample) -> Points:
        found = [] if sample.log is None else values(sample.log)
        return [((str(label),), value) for label, value in found if value is not None]

    return points
