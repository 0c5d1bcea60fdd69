"""Slices of the requests in which decisions are wrong more often, or probabilities are off."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.judging.histograms import Estimate
from models.judging.intervals import Counted, exact_interval
from models.scorecard import Floats

LEAST_ROWS = 200
"""A slice with fewer requests is not looked at: its interval would say nothing."""

_ALPHA = 0.05


class Slice(NamedTuple):
    """The requests with one level of one column.

    Attributes:
        column: Name of the column.
        level: The level; None: missing.
        requests: Number of labelled requests.
        wrong: Share of wrong decisions.
        said: Mean probability.
        came: Share of label 1.
        is_worse: Whether more decisions are wrong than in all requests, beyond chance.
        is_off: Whether the mean probability is outside the interval of the share.
    """

    column: str
    level: str | None
    requests: int
    wrong: Estimate
    said: float
    came: Estimate
    is_worse: bool
    is_off: bool


class Slices(NamedTuple):
    """The result of a look at all slices.

    Attributes:
        looked_at: Number of slices with enough requests; the intervals hold for all of them
            together, with a confidence of 95 %.
        too_small: Number of the others.
        wrong: Share of wrong decisions in all requests.
        worst: Slices that are worse or off first, then by the lower end of `wrong`.
    """

    looked_at: int
    too_small: int
    wrong: float
    worst: list[Slice]


def worst_slices(
    columns: Mapping[str, Sequence[str | None]],
    labels: NDArray[np.int64],
    said: Floats,
    threshold: float,
    least: int = LEAST_ROWS,
) -> Slices:
    """Look at every level of every column.

    The intervals are exact (Clopper and Pearson), each at 1 - .05 / n for n slices (Bonferroni): a
    slice that merely looks worst among many is not called worse.

    Args:
        columns: Levels of each categorical column, one per request.
        labels: 0 or 1, at least one.
        said: P(label is 1), one per label.
        threshold: Probability from which a decision is true.
        least: Fewest requests of a slice.
    """
    wrong = (said >= threshold) != (labels == 1)
    whole = float(np.count_nonzero(wrong) / len(labels))
    found: list[tuple[str, str | None, NDArray[np.int64]]] = []
    too_small = 0
    for column, levels in columns.items():
        for level, places in _places(levels).items():
            if len(places) < least:
                too_small += 1
            else:
                found.append((column, level, places))
    confidence = 1.0 - _ALPHA / max(len(found), 1)

    def share(of: NDArray[np.bool_]) -> Estimate:
        return exact_interval(Counted(int(np.count_nonzero(of)), len(of)), confidence)

    worst = [
        _slice(column, level, share, wrong[places], said[places], labels[places], whole)
        for column, level, places in found
    ]
    worst.sort(key=lambda one: (not (one.is_worse or one.is_off), -one.wrong.low))
    return Slices(len(found), too_small, whole, worst)


def _slice(
    column: str,
    level: str | None,
    share: Callable[[NDArray[np.bool_]], Estimate],
    wrong: NDArray[np.bool_],
    said: Floats,
    labels: NDArray[np.int64],
    whole: float,
) -> Slice:
    errors, came, mean = share(wrong), share(labels == 1), float(said.mean())
    is_off = not came.low <= mean <= came.high
    return Slice(column, level, len(labels), errors, mean, came, errors.low > whole, is_off)


def _places(levels: Sequence[str | None]) -> dict[str | None, NDArray[np.int64]]:
    found: dict[str | None, list[int]] = {}
    for i, level in enumerate(levels):
        found.setdefault(level, []).append(i)
    order = sorted(found, key=lambda level: (level is None, level or ""))
    return {level: np.array(found[level], np.int64) for level in order}
