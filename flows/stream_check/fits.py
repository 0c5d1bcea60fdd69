"""Estimate how many fits the settings would make over a trial's events, and how long they take."""

from typing import NamedTuple

import numpy as np

from flows.stream_check.trial import Trial
from state.durations import Duration
from state.settings import Training

_START_S = 4.0
"""Seconds of an import, a search and an export, for any amount of data."""

_CELL_S = 3.5e-6
"""Seconds per cell: a GBM of 100 trees of depth 5 took 14 s for 200,000 rows of 20 columns, on two
cores."""

_TIMES = {"glm": 0.15, "gbm": 1.0, "drf": 1.5, "deeplearning": 1.5, "xgboost": 7.0,
          "stackedensemble": 6.0, "automl": 10.0}  # fmt: skip
"""Duration of an algorithm's fit, as a multiple of a GBM's."""


class Fits(NamedTuple):
    """Fits that the settings would make.

    Attributes:
        boundaries: Number of boundaries that are reached.
        made: Number of boundaries with enough rows for a fit.
        most_rows: Rows of the largest fit.
        seconds: Estimated total duration; up to a factor of 2 wrong on other machines.
    """

    boundaries: int
    made: int
    most_rows: int
    seconds: float


def fits_of(trial: Trial, columns: int, training: Training) -> Fits:
    """Estimate the fits at the boundaries that a trial's events reach.

    Args:
        trial: Trial whose outcomes are the rows.
        columns: Number of the stream's columns.
        training: Training settings.
    """
    known, times = np.asarray(trial.known, np.int64), np.asarray(trial.times, np.int64)
    rows = [
        int(((known < due) & (times >= due - training.window)).sum())
        for due in sorted(trial.due - {0})
    ]
    made = [] if training.pinned else [n for n in rows if n >= training.min_rows]
    searched = (training.models + 1) + training.refit
    cell_s = _CELL_S * _TIMES.get(training.algorithm, 1.0) * searched
    seconds = sum(_START_S * searched + n * columns * cell_s for n in made)
    return Fits(len(rows), len(made), max(made, default=0), seconds)


def told(fits: Fits, training: Training) -> str:
    """Format the estimate as one line."""
    every = Duration(training.every)
    if training.pinned:
        return f"none, as training.pinned is {training.pinned!r}"
    noun = "boundary" if fits.boundaries == 1 else "boundaries"
    many = f"{fits.boundaries} {noun}, in the end one each {every}"
    if not fits.made:
        return (
            f"none at {many}: each has fewer than "
            f"training.min_rows = {training.min_rows:,} labelled requests before it"
        )
    return (
        f"{fits.made} at {many}, on up to "
        f"{fits.most_rows:,} rows; about {_rounded(fits.seconds)} in all"
    )


def _rounded(seconds: float) -> str:
    minutes = seconds / 60
    return (
        f"{seconds:.0f} s"
        if seconds < 100
        else f"{minutes:.0f} min"
        if minutes < 100
        else (f"{minutes / 60:.0f} h")
    )
