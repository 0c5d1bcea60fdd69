"""Statistics of the events that a feature holds: counts, sums and means of readings.

A cell group is `[count, measure, …, readings, …]`: the sum of the events' weights, the sums of the
readings, and the numbers of readings for those that may be missing, which come last.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from state.counted import Counted, Reading
from state.field_types import NUMBER, nullable
from state.kinds.arguments import check_arguments
from state.kinds.compiled import part
from state.kinds.kind import FieldUse, Transform, Value
from state.stream_numbers import Bound


class _Checked:
    """Base of the statistics."""

    def __post_init__(self) -> None:
        """Check the type of each argument.

        Raises:
            StreamError: An argument has another type than declared.
        """
        check_arguments(self)


@dataclass(frozen=True)
class Count(_Checked):
    """Number of events in the window (sum of weights), with or without readings."""

    name: str = "count"


@dataclass(frozen=True)
class Sum(_Checked):
    """Sum of a reading over the window; a missing reading adds nothing."""

    name: str
    of: Reading


@dataclass(frozen=True)
class Mean(_Checked):
    """Mean of the present readings in the window, drawn toward a prior.

    `(sum + strength * prior) / (readings + strength)`; missing when that is 0 / 0.
    """

    name: str
    of: Reading
    prior: float = 0.0
    strength: float = 0.0


@dataclass(frozen=True)
class Rate(_Checked):
    """Share of true ones among the present readings in the window, drawn toward a prior."""

    name: str
    of: Reading
    prior: float = 0.5
    strength: float = 5.0


Statistic = Count | Sum | Mean | Rate

SUM, MEAN = 0, 1


def transform_of(stat: Statistic) -> Transform:
    """Transform of a statistic for the linear models."""
    match stat:
        case Count():
            return "log1p"
        case Rate():
            return "logit"
        case _:
            return "identity"


def statistic_uses(stats: Iterable[Statistic], over: Counted) -> Iterator[FieldUse]:
    """The fields that statistics read by name."""
    for stat in stats:
        if not isinstance(stat, Count) and isinstance(stat.of, str):
            yield FieldUse(over, stat.of, NUMBER)


def statistic_bounds(stats: Iterable[Statistic]) -> Iterator[Bound]:
    """The numbers of statistics, with their bounds."""
    for stat in stats:
        if isinstance(stat, Rate):
            yield Bound(f"prior of {stat.name!r}", stat.prior, 0, 1)
        if isinstance(stat, Mean):
            yield Bound(f"prior of {stat.name!r}", stat.prior)
        if isinstance(stat, Mean | Rate):
            yield Bound(f"strength of {stat.name!r}", stat.strength, 0)


class Cells(NamedTuple):
    """The places of statistics in a cell group.

    Attributes:
        measures: Statistics that add readings; those whose readings are counted come last.
        sure: Number of first cells without a count of readings: one for the events, and the
            measures whose readings are never missing.
    """

    measures: Sequence[Sum | Mean | Rate]
    sure: int

    @property
    def width(self) -> int:
        """Number of cells that take a value: of the events and of the measures."""
        return 1 + len(self.measures)

    @property
    def cells(self) -> int:
        """Number of all cells."""
        return 2 * self.width - self.sure

    def values(self, weight: float) -> tuple[Value, ...]:
        """The values that an event of this weight adds."""
        return ((None, weight), *((stat.of, weight) for stat in self.measures))

    def fields(self, stat: Statistic) -> dict[str, float]:
        """Fields of the `feature_kernels.STAT` of a statistic."""
        if isinstance(stat, Count):
            return {"kind": SUM, "measure": 0}
        measure = 1 + self.measures.index(stat)
        if isinstance(stat, Sum):
            return {"kind": SUM, "measure": measure}
        counted = measure >= self.sure
        return {
            "kind": MEAN,
            "measure": measure,
            "weight": 1 + len(self.measures) + measure - self.sure if counted else 0,
            "prior": stat.prior,
            "strength": stat.strength,
        }


def cells_of(stats: Sequence[Statistic], overs: Iterable[Counted]) -> Cells:
    """Assign the places of these statistics in a cell group."""
    overs = list(overs)
    measures = [stat for stat in stats if not isinstance(stat, Count)]
    measures.sort(key=lambda stat: _is_counted(stat, overs))
    return Cells(measures, 1 + sum(not _is_counted(stat, overs) for stat in measures))


def _is_counted(stat: Sum | Mean | Rate, overs: Sequence[Counted]) -> bool:
    """Whether a statistic divides by a number of readings that may be below that of events."""
    if isinstance(stat, Sum):
        return False
    if isinstance(stat.of, str):
        return any(nullable(over, stat.of) for over in overs)
    # Counting a function's readings would take room in every group; a boolean is never missing.
    return getattr(stat.of, "__annotations__", {}).get("return") not in {bool, "bool"}


@part
def add(pool: Any, cell: int, step: Any, values: Any) -> None:
    """Add an event's values to the cell group at `cell`."""
    for i in range(step.n):
        value = values[step.values + i]
        if not np.isnan(value):
            pool[cell + i] += value
            if i >= step.sure:
                pool[cell + step.n + i - step.sure] += values[step.values]


@part
def put(stat: Any, sums: Any, row: Any) -> None:
    """Write a statistic from the sums of cell groups."""
    total = sums[stat.measure]
    if stat.kind == SUM:
        row[stat.column] = total
    else:
        weight = sums[stat.weight] + stat.strength
        row[stat.column] = (total + stat.prior * stat.strength) / weight if weight > 0.0 else np.nan
