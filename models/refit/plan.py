"""The rows of a fit: the newest slice, which judges, and how far back candidates look."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import polars as pl

from models.h2o.frames import LABEL
from models.h2o.search import Parameters, fewest_rows
from models.h2o.time_split import TimeRange, TimeSplit, is_settled, spans

_FIFTH = 5
_NARROWER = (4, 16)
_LEAST_OF_INTERVAL = 4
"""A validation slice shorter than this part of a model's time in use does not show its ageing."""
_ALIKE = 1.25
"""Windows whose numbers of rows differ by less than this factor count as one."""


class FitTask(msgspec.Struct, frozen=True, kw_only=True):
    """One fit at one boundary. Times and durations in µs.

    Attributes:
        files: Parquet, with `event_time` and `label_time` (`timestamp[ms]`, UTC), `label` (0/1)
            and the features: numbers or strings. Other columns are ignored.
        features: Names of the features.
        categoricals: Names of those features that are strings.
        boundary: Time from which on no row or label is used.
        window: Longest time before the boundary whose rows are used.
        windows: Number of window lengths to try: 1 is the whole window, 2 also a quarter of it, 3
            also a sixteenth.
        validation: Longest slice of newest rows, on which candidates are judged; it is never more
            than a fifth of the rows.
        embargo: Gap between training and validation rows: the longest delay of a label.
        algorithm: One of `models.h2o.search.ALGORITHMS`.
        previous: Parameters of the last winner, tried first.
        previous_window: Window of the last winner, tried first; 0: the whole window.
        interval: Approximate time for which the model will serve. If a quarter of it is longer than
            the validation slice, every candidate uses the whole window, because a model that fits
            the newest rows best is the first to be stale.
        draws: Number of other candidates to try.
        proposals: The other candidates, in order, which are tried on few rows first; None: they
            are drawn from a grid.
        seed: Seed of all random numbers.
        min_rows: A window with fewer rows is not fitted.
        margin: See `models.refit.gate.gate`.
        champion_end: End of the rows that the champion was fitted on: it is judged on later
            requests, and if there are none, nothing is fitted; 0: there is no champion.
        refit: Fit the winner once more on its whole window before it is published; AutoML's winner
            never is, because it has no parameters to repeat.
        reference: Time before the boundary whose rows the profile of the columns describes, where
            that is more than the window.
    """

    files: Sequence[Path]
    features: Sequence[str]
    categoricals: Sequence[str]
    boundary: int
    window: int
    validation: int
    embargo: int
    algorithm: str = "gbm"
    previous: Parameters | None = None
    windows: int = 1
    previous_window: int = 0
    interval: int = 0
    draws: int = 1
    proposals: Sequence[Parameters] | None = None
    seed: int = 1
    min_rows: int = 2_000
    margin: float = 0.0
    champion_end: int = 0
    refit: bool = True
    reference: int = 0

    @property
    def refits(self) -> bool:
        """Whether the winner is fitted once more."""
        return self.refit and self.algorithm != "automl"


class Window(NamedTuple):
    """The time whose rows a candidate is fitted on.

    Attributes:
        back: Length in µs; 0: the whole window of the task.
        cuts: The rows.
        rows: Number of rows that it is fitted on before it is judged.
        rarer: Number of those with the rarer label.
    """

    back: int
    cuts: TimeSplit
    rows: int
    rarer: int


class Plan(NamedTuple):
    """The possible windows of a fit.

    Attributes:
        windows: Those to try, the last winner's first, else the whole one; none: there is no fit.
        reason: Reason for not fitting a model; empty if one is fitted.
    """

    windows: list[Window]
    reason: str


def plan(task: FitTask) -> Plan:
    """Plan a fit from its files, without H2O.

    The slice that judges has at most a fifth of the rows. Where it is less than ten times as long
    as a label may take, it ends that long before the boundary: of what was asked later only the
    labels that come soon are known.
    """
    end = task.boundary // 1000
    start, embargo = end - task.window // 1000, task.embargo // 1000
    if not task.files:
        return _no_fit(_too_few(0, task))
    rows = pl.scan_parquet(list(task.files), glob=False)
    times = _times(rows, TimeRange(start, end, end))
    if len(times) < task.min_rows:
        return _no_fit(_too_few(len(times), task))
    split, until = _slice(times, end, task.validation // 1000, embargo)
    oldest = int(times[0])
    last = end if is_settled(end - oldest, embargo) else end - embargo
    cuts = spans(start, end, split=split, end=last, embargo=embargo)
    cuts = cuts._replace(validation=TimeRange(split, until, end))
    seen = _seen(rows, task, cuts)
    reason = _lack(task, seen)
    if int(times[-1]) * 1000 < task.champion_end:
        reason = "a labelled request must be new to the champion; got none"
    if reason:
        return _no_fit(reason)
    whole = Window(0, cuts, *seen["training"].by_label)
    return Plan(_windows(rows, task, whole, (split - oldest) * 1000), "")


def _no_fit(reason: str) -> Plan:
    return Plan([], reason)


def _too_few(rows: int, task: FitTask) -> str:
    return f"rows must be at least {task.min_rows}; got {rows} in the window"


def _times(rows: pl.LazyFrame, span: TimeRange) -> pl.Series:
    """Request times of the rows of a span (ms), in order."""
    event = pl.col("event_time").dt.timestamp("ms")
    return rows.filter(span.in_polars()).select(event.sort()).collect()["event_time"]


def _slice(times: pl.Series, end: int, most: int, embargo: int) -> tuple[int, int]:
    """Begin and end of the validation slice."""
    split = until = end
    for until in (end, end - embargo):
        asked = int(times.search_sorted(until, side="left"))
        newest = asked // _FIFTH
        split = int(times[asked - newest - 1]) + 1 if newest else until
        split = max(split, until - most)
        if is_settled(until - split, embargo):
            break
    return split, until


class _Seen(NamedTuple):
    """Counts over the rows of a span."""

    rows: int
    labels: int
    positives: int
    varying: int

    @property
    def by_label(self) -> tuple[int, int]:
        """Number of rows, and of those with the rarer label."""
        return self.rows, min(self.positives, self.rows - self.positives)


def _seen(rows: pl.LazyFrame, task: FitTask, cuts: TimeSplit) -> dict[str, _Seen]:
    """Count rows, different labels and varying features of each span."""
    found = []
    for span in cuts:
        varying = [pl.col(name).min() != pl.col(name).max() for name in task.features]
        one = rows.filter(span.in_polars()).select(
            pl.len().alias("rows"),
            pl.col(LABEL).n_unique().alias("labels"),
            pl.col(LABEL).cast(pl.Int64).sum().alias("positives"),
            pl.sum_horizontal(
                pl.lit(0), *(one.fill_null(value=False).cast(pl.Int64) for one in varying)
            ),
        )
        found.append(_Seen(*one.collect().row(0)))
    return dict(zip(TimeSplit._fields, found, strict=True))


def _lack(task: FitTask, seen: dict[str, _Seen]) -> str:
    """Reason why these rows cannot be fitted or cannot judge a fit; empty: both are possible."""
    training = seen["training"]
    least = fewest_rows(task.algorithm)
    if training.rows < least:
        return (
            f"training rows must be at least {least} for {task.algorithm}; got {training.rows} "
            f"before the {seen['validation'].rows} that judge"
        )
    for name in ("training", "validation"):
        if seen[name].labels < 2:
            return f"{name} rows must have both labels; got {seen[name].labels}"
    if not training.varying:
        return f"features must vary; got one value or none of each of {len(task.features)}"
    return ""


def _windows(rows: pl.LazyFrame, task: FitTask, whole: Window, longest: int) -> list[Window]:
    """The whole window (`longest` µs), the last winner's, and narrower ones with enough rows."""
    found = [whole]
    slice_ = (whole.cuts.validation.end - whole.cuts.validation.start) * 1000
    if (
        task.algorithm == "automl"
        or task.windows < 2
        or slice_ * _LEAST_OF_INTERVAL < task.interval
    ):
        return found
    previous = [task.previous_window] if task.previous_window else []
    for back in (*previous, *(longest // share for share in _NARROWER[: task.windows - 1])):
        if back >= longest:
            continue
        cuts = whole.cuts.narrowed(back // 1000, task.embargo // 1000)
        seen = _seen(rows, task, cuts)
        fits = min(seen["training"].rows, seen["whole"].rows) >= task.min_rows
        varies = seen["whole"].varying and seen["whole"].labels == 2
        if not fits or not varies or _lack(task, seen):
            continue
        one = Window(back, cuts, *seen["training"].by_label)
        if all(_differ(one, other) for other in found):
            found.append(one)
    if len(found) > 1 and found[1].back == task.previous_window:
        found[:2] = found[1], found[0]
    return found


def _differ(one: Window, other: Window) -> bool:
    few, many = sorted((one.rows, other.rows))
    return many >= _ALIKE * few
