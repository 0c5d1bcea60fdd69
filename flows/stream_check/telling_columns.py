"""Columns that tell the label by themselves: mostly facts that are known only with the label."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models.scorecard import auc

ROWS = 20_000
"""Number of labelled requests that are looked at."""

SURE = 0.99
"""AUC from which on a column is told."""

_LEAST = 20  # labels of either kind
Cell = float | str | None


def telling_columns(rows: Sequence[Mapping[str, Cell]], labels: Sequence[int]) -> dict[str, float]:
    """The columns of which one alone tells the label, each with its AUC.

    A quantity is taken as it is and turned round, and so is whether it is missing. A level counts
    for the share of label 1 that it has in the first half, and is judged on the second.

    Args:
        rows: Vectors by column, None for a missing value.
        labels: The labels of these rows.

    Example:
        >>> known = [{"paid": float(i % 2), "hour": f"h{i % 5}"} for i in range(200)]
        >>> telling_columns(known, [i % 2 for i in range(200)])
        {'paid': 1.0}
    """
    known = np.asarray(labels, np.float64)
    names = list(rows[0]) if rows else []
    found = {name: _best([row[name] for row in rows], known) for name in names}
    return {name: best for name, best in found.items() if best >= SURE}


def _best(cells: Sequence[Cell], labels: NDArray[np.float64]) -> float:
    missing = np.array([cell is None for cell in cells])
    if any(isinstance(cell, str) for cell in cells):
        half = len(cells) // 2
        return _either(_shares(cells, labels, half)[half:], labels[half:])
    values = np.array([np.nan if cell is None else cell for cell in cells], np.float64)
    there = ~missing
    return max(_either(values[there], labels[there]), _either(missing.astype(float), labels))


def _shares(cells: Sequence[Cell], labels: NDArray[np.float64], half: int) -> NDArray[np.float64]:
    """The share of label 1 of each row's level among the first rows."""
    levels = {level: number for number, level in enumerate(dict.fromkeys(cells))}
    codes = np.array([levels[cell] for cell in cells])
    rows, ones = (
        np.bincount(codes[:half], weights, len(levels)) for weights in (None, labels[:half])
    )
    prior = labels[:half].mean() if half else 0.0
    shares: NDArray[np.float64] = ((ones + prior) / (rows + 1))[codes]
    return shares


def _either(values: NDArray[np.float64], labels: NDArray[np.float64]) -> float:
    """The AUC of a quantity, or of its opposite if that is more; 0 if there are few labels."""
    ones = labels.sum()
    if min(ones, len(labels) - ones) < _LEAST:
        return 0.0
    found = auc(labels, values)
    return 0.0 if found is None else max(found, 1 - found)
