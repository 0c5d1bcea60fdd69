"""Which parameters a fit tries: the last winner, then seeded draws from a grid."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

Value = int | float | str
Parameters = dict[str, Value]

# Each grid's first values are the defaults. Parameters as H2O names them.
GRIDS: dict[str, dict[str, Sequence[Value]]] = {
    "gbm": {
        "ntrees": [100],
        "max_depth": [6, 5, 7],
        "learn_rate": [0.07, 0.05],
        "sample_rate": [0.7, 0.8],
        "col_sample_rate": [0.3, 0.2],
        "min_rows": [50, 100],
        "nbins": [32],
        "nbins_top_level": [64],
        "nbins_cats": [64, 32],
    },
    "drf": {
        "ntrees": [50],
        "max_depth": [12, 10, 14],
        "sample_rate": [0.6, 0.7],
        "min_rows": [20, 10, 50],
        "nbins": [32],
        "nbins_top_level": [64],
        "nbins_cats": [64, 32],
    },
    "glm": {
        "family": ["binomial"],
        "alpha": [0.5, 0.0, 1.0],
        "lambda": [1e-4, 1e-3, 1e-5],
    },
}


def check_algorithm(algorithm: str) -> None:
    """Refuse what cannot be scored in process.

    Raises:
        ValueError: The algorithm is not one of the grids'.

    Example:
        >>> check_algorithm("xgboost")
        Traceback (most recent call last):
        ValueError: algorithm must be gbm, drf or glm; got 'xgboost' in training.algorithm: \
models of other algorithms cannot be scored in process yet
    """
    if algorithm not in GRIDS:
        msg = (
            f"algorithm must be gbm, drf or glm; got {algorithm!r} in training.algorithm: "
            "models of other algorithms cannot be scored in process yet"
        )
        raise ValueError(msg)


def candidates(
    algorithm: str, previous: Mapping[str, Value] | None, draws: int, seed: Sequence[int]
) -> list[Parameters]:
    """The parameters to try, in order; none twice.

    Args:
        algorithm: `gbm`, `drf` or `glm`.
        previous: The last winner's parameters, tried first; None, or those of another algorithm
            or release, are replaced by the defaults.
        draws: How many more.
        seed: The same numbers give the same draws.

    Example:
        >>> first, second = candidates("glm", None, 1, [1, 2])
        >>> first
        {'family': 'binomial', 'alpha': 0.5, 'lambda': 0.0001}
        >>> second == first
        False
    """
    check_algorithm(algorithm)
    grid = GRIDS[algorithm]
    points = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    known = previous is not None and previous.keys() == grid.keys()
    first = dict(previous or {}) if known else points[0]
    order = np.random.default_rng(seed).permutation(len(points))
    others = [points[i] for i in order if points[i] != first]
    return [first, *others[:draws]]
