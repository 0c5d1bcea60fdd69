"""The past of the metrics as OpenMetrics text, to fill Prometheus or VictoriaMetrics with.

See https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md.
"""

from array import array
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from flows.watch.metric import Metric
from flows.watch.past import PAST
from flows.watch.sample import Sample

END = "# EOF\n"
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


class _Series(NamedTuple):
    """Times (µs) and values of a series, oldest first."""

    times: "array[int]"
    values: "array[float]"


class OpenMetrics:
    """Collects samples, and writes them series by series, as the format demands.

    A value takes 16 bytes of memory until it is written.
    """

    def __init__(self) -> None:
        self._series: dict[str, dict[tuple[str, ...], _Series]] = {one.name: {} for one in PAST}

    def add(self, sample: Sample) -> None:
        """Add the values of a sample; its log's time is theirs."""
        assert sample.log is not None
        time = round(sample.log.at * 1e6)
        for metric in PAST:
            assert metric.points is not None
            of = self._series[metric.name]
            for labels, value in metric.points(sample):
                if labels not in of:
                    of[labels] = _Series(array("q"), array("d"))
                of[labels].times.append(time)
                of[labels].values.append(value)

    def text(self) -> Iterator[str]:
        """All that was added, in pieces."""
        for metric in PAST:
            series = self._series[metric.name]
            if series:
                yield _head(metric)
            for labels, (times, values) in sorted(series.items()):
                named = zip(metric.labels, labels, strict=True)
                yield from _lines(metric.name, named, zip(times, values, strict=True))
        yield END


def _head(metric: Metric) -> str:
    family = metric.name.removesuffix("_total") if metric.kind == "counter" else metric.name
    help_text = metric.help.translate(_ESCAPES)
    return f"# TYPE {family} {metric.kind}\n# HELP {family} {help_text}\n"


def _lines(
    name: str, labels: Iterable[tuple[str, str]], values: Iterable[tuple[int, float]]
) -> Iterator[str]:
    r"""A line for each value.

    Example:
        >>> list(_lines("m", [("source", 'a "b"')], [(1_500_000, 0.25)]))
        ['m{source="a \\"b\\""} 0.25 1.500000\n']
    """
    inner = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels)
    shown = f"{{{inner}}}" if inner else ""
    for time, value in values:
        seconds, us = divmod(time, 1_000_000)
        yield f"{name}{shown} {value!r} {seconds}.{us:06d}\n"
