"""The parameters that a fit tries: the last winner's, then seeded draws from a grid."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

Value = int | float | str
Parameters = dict[str, Value]

# The first values of each grid are the defaults; names are H2O's.
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
    "xgboost": {
        "ntrees": [100],
        "max_depth": [6, 5, 7],
        "learn_rate": [0.07, 0.05],
        "sample_rate": [0.7, 0.8],
        "col_sample_rate": [0.3, 0.2],
        "min_rows": [20, 50],
        "reg_lambda": [1, 5],
    },
    "deeplearning": {
        "hidden": ["[64,32]", "[32,16]", "[128,64]"],
        "epochs": [10, 5],
        "activation": ["Rectifier", "Tanh"],
        "l1": [1e-5, 1e-4],
        "l2": [1e-5, 1e-4],
    },
    "stackedensemble": {
        "metalearner_algorithm": ["AUTO", "glm"],
        "metalearner_transform": ["Logit", "NONE"],
    },
}
ALGORITHMS = (*GRIDS, "automl")


def check_algorithm(algorithm: str) -> None:
    """Refuse an algorithm that is not a classifier, or cannot be scored in process.

    Raises:
        ValueError: The algorithm is not in `ALGORITHMS`.

    Example:
        >>> check_algorithm("isolationforest")
        Traceback (most recent call last):
        ValueError: algorithm must be gbm, drf, glm, xgboost, deeplearning, stackedensemble or \
automl; got 'isolationforest' in training.algorithm: others give no probability of a label, or \
cannot be scored in process
    """
    if algorithm not in ALGORITHMS:
        msg = (
            f"algorithm must be {', '.join(GRIDS)} or automl; got {algorithm!r} in "
            "training.algorithm: others give no probability of a label, or cannot be scored in "
            "process"
        )
        raise ValueError(msg)


def candidates(
    algorithm: str,
    previous: Mapping[str, Value] | None,
    draws: int,
    seed: Sequence[int],
    rows: int | None = None,
) -> list[Parameters]:
    """The distinct parameters to try, in order.

    Args:
        algorithm: One of `ALGORITHMS`; `automl` searches by itself, so it gets a single entry.
        previous: The last winner's parameters, tried first; None, or parameters of another
            algorithm or release, are replaced by the defaults.
        draws: Number of further candidates; for `automl`, the number of models it fits.
        seed: Seed of the draws.
        rows: Number of rows that they are fitted on, at least `fewest_rows`; parameters that H2O
            cannot fit on so few are left out. None: enough.

    Example:
        >>> first, second = candidates("glm", None, 1, [1, 2])
        >>> first
        {'family': 'binomial', 'alpha': 0.5, 'lambda': 0.0001}
        >>> second == first
        False
    """
    check_algorithm(algorithm)
    if algorithm == "automl":
        return [{"max_models": draws}]
    grid = GRIDS[algorithm]
    points = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    known = previous is not None and previous.keys() == grid.keys()
    first = dict(previous or {}) if known else points[0]
    order = np.random.default_rng(seed).permutation(len(points))
    tries = [first, *(points[i] for i in order if points[i] != first)]
    return (tries if rows is None else fitting(tries, rows))[: draws + 1]


def fitting(tries: Sequence[Parameters], rows: int) -> list[Parameters]:
    """Those parameters that H2O can fit on so many rows.

    Example:
        >>> fitting([{"min_rows": 50}, {"min_rows": 51}], 101)
        [{'min_rows': 50}]
    """
    return [one for one in tries if _needed(one) <= rows]


_FEWEST = {"stackedensemble": 150, "automl": 12}
"""Fewest rows that the folds of their base models need, found by trial."""


def fewest_rows(algorithm: str) -> int:
    """Smallest number of rows on which H2O fits the algorithm.

    Raises:
        ValueError: See `check_algorithm`.

    Example:
        >>> fewest_rows("gbm"), fewest_rows("glm")
        (100, 2)
    """
    check_algorithm(algorithm)
    if algorithm in _FEWEST:
        return _FEWEST[algorithm]
    return min(_needed({"min_rows": one}) for one in GRIDS[algorithm].get("min_rows", [1]))


def _needed(parameters: Parameters) -> int:
    """Trees are not grown where no split would leave `min_rows` on both sides."""
    return 2 * int(parameters.get("min_rows", 1))
