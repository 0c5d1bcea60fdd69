"""The ranges from which a search proposes parameters, for each algorithm."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from models.h2o.search import GRIDS, Parameters, Value


class Range(NamedTuple):
    """Numbers from `low` to `high`, both included; whole ones if both are.

    Attributes:
        low: Least value.
        high: Largest value.
        log: Whether equal ratios are equally far apart, instead of equal differences.
    """

    low: float
    high: float
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether the values are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)


Space = dict[str, Range | Sequence[Value]]
"""By H2O's name of a parameter, its range or its choices."""

# Around the values of the grids. More or deeper trees would make each answer slower.
_RANGES: dict[str, dict[str, Range]] = {
    "gbm": {
        "max_depth": Range(3, 8),
        "learn_rate": Range(0.02, 0.2, log=True),
        "sample_rate": Range(0.4, 1.0),
        "col_sample_rate": Range(0.05, 1.0, log=True),
        "min_rows": Range(5, 400, log=True),
    },
    "drf": {
        "max_depth": Range(6, 16),
        "sample_rate": Range(0.3, 0.9),
        "min_rows": Range(5, 200, log=True),
    },
    "glm": {"alpha": Range(0.0, 1.0), "lambda": Range(1e-6, 1e-1, log=True)},
    "xgboost": {
        "max_depth": Range(3, 8),
        "learn_rate": Range(0.02, 0.2, log=True),
        "sample_rate": Range(0.4, 1.0),
        "col_sample_rate": Range(0.05, 1.0, log=True),
        "min_rows": Range(1, 200, log=True),
        "reg_lambda": Range(0.1, 20.0, log=True),
    },
    "deeplearning": {
        "epochs": Range(3, 20, log=True),
        "l1": Range(1e-7, 1e-3, log=True),
        "l2": Range(1e-7, 1e-3, log=True),
    },
}
_CHOICES: dict[str, dict[str, Sequence[Value]]] = {
    "gbm": {"nbins_cats": [16, 32, 64, 128]},
    "drf": {"nbins_cats": [16, 32, 64, 128]},
}

_DIGITS = 3
"""Significant digits of a proposed number."""


def space_of(algorithm: str) -> Space:
    """The space of an algorithm: parameters without a range here have the values of the grid.

    Example:
        >>> space_of("glm")["family"], space_of("glm")["alpha"]
        (['binomial'], Range(low=0.0, high=1.0, log=False))
    """
    wider: Mapping[str, Range | Sequence[Value]] = _RANGES.get(algorithm, {})
    wider = {**wider, **_CHOICES.get(algorithm, {})}
    return {name: wider.get(name, values) for name, values in GRIDS[algorithm].items()}


def is_within(space: Space, parameters: Parameters) -> bool:
    """Whether a space has these parameters, those of another algorithm or release among others.

    Example:
        >>> is_within(space_of("glm"), {"family": "binomial", "alpha": 2.0, "lambda": 1e-4})
        False
    """
    return parameters.keys() == space.keys() and all(
        _has(values, parameters[name]) for name, values in space.items()
    )


def _has(values: Range | Sequence[Value], value: Value) -> bool:
    if isinstance(values, Range):
        kind = int if values.whole else int | float
        return isinstance(value, kind) and values.low <= value <= values.high
    return value in values


def rounded(parameters: Parameters) -> Parameters:
    """Parameters with numbers as people write them.

    Example:
        >>> rounded({"learn_rate": 0.0712345, "max_depth": 5})
        {'learn_rate': 0.0712, 'max_depth': 5}
    """
    return {
        name: float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value
        for name, value in parameters.items()
    }


def size_of(space: Space) -> float:
    """Number of points in a space; infinite if it has a range.

    Example:
        >>> size_of(space_of("stackedensemble")), size_of(space_of("gbm"))
        (4, inf)
    """
    if any(isinstance(values, Range) for values in space.values()):
        return math.inf
    return math.prod(len(values) for values in space.values())
