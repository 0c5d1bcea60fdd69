"""Metrics of estimates before labels, and of what came of earlier ones."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from flows.reports.estimates import CameTrue, Waiting
from flows.watch.metric import Metric, Points, each, of_log
from flows.watch.sample import Sample

T = TypeVar("T")
_Figures = Iterable[tuple[object, float]]


def _waiting(figures: Callable[[Waiting], _Figures]) -> Callable[[Sample], Points]:
    return each(lambda log: _figures(log.status.estimates.waiting, figures))


def _judged(figures: Callable[[CameTrue], _Figures]) -> Callable[[Sample], Points]:
    return each(lambda log: _figures(log.status.estimates.came_true, figures))


def _figures(of: T | None, figures: Callable[[T], _Figures]) -> _Figures:
    return () if of is None else figures(of)


def _one(value: Callable[[Waiting], float]) -> Callable[[Sample], Points]:
    return of_log(lambda log: None if (of := log.status.estimates.waiting) is None else value(of))


ESTIMATES = (
    Metric(
        "headwater_expected", "gauge", "",
        "Metric to be expected of the requests that wait to be judged.", ("metric",), "metrics",
        _waiting(lambda of: ((name, found.value) for name, found in of.expected.items())),
    ),
    Metric(
        "headwater_expected_low", "gauge", "", "Lower end of its 95 % interval.", ("metric",),
        "metrics",
        _waiting(lambda of: ((name, found.low) for name, found in of.expected.items())),
    ),
    Metric(
        "headwater_expected_high", "gauge", "", "Upper end of its 95 % interval.", ("metric",),
        "metrics",
        _waiting(lambda of: ((name, found.high) for name, found in of.expected.items())),
    ),
    Metric(
        "headwater_expected_requests", "gauge", "records",
        "Requests that wait to be judged, in partitions with 20 or more.", (), "metrics",
        _one(lambda of: of.requests),
    ),
    Metric(
        "headwater_expected_trusted", "gauge", "",
        "1 if nothing speaks against what is expected; 0 under drift.", (), "metrics",
        _one(lambda of: of.trusted),
    ),
    Metric(
        "headwater_judged_expected", "gauge", "",
        "Metric that was expected of the newest requests that have been judged since.",
        ("metric",), "metrics",
        _judged(lambda of: ((name, found.value) for name, found in of.expected.items())),
    ),
    Metric(
        "headwater_judged_realised", "gauge", "", "The same metric, by the labels that came.",
        ("metric",), "metrics", _judged(lambda of: of.realised.items()),
    ),
    Metric(
        "headwater_estimate_error", "gauge", "", "Distance of the two.", ("metric",), "metrics",
        _judged(lambda of: of.error.items()),
    ),
)  # fmt: skip
