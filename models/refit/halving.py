"""Successive halving: many candidates on few rows, the best of them on more, the last on all."""

from collections.abc import Sequence
from typing import NamedTuple

from models.h2o.fit import Candidate, Tables, fit_each
from models.h2o.frames import is_varied, thin
from models.h2o.search import Parameters, fitting
from models.h2o.server import H2OServer
from models.refit.plan import FitTask, Window
from models.scorecard import Floats

_EACH = {16: 8, 4: 4, 1: 1}
"""By thinning, the candidates for the price of one on all rows: a part of it is paid per fit."""
_FEWEST_ROWS = 2_000
"""Fewer rows do not rank candidates as all rows do."""
_FEWEST_LABELS = 50
"""Fewest rows of the rarer label, in expectation: with none H2O cannot fit."""


class Rung(NamedTuple):
    """One round.

    Attributes:
        thinning: One of so many rows is used; 1: all rows.
        candidates: Number of candidates, the best of the round before.
    """

    thinning: int
    candidates: int


def rungs(fits: int, rows: int, rarer: int) -> list[Rung]:
    """The rounds that together take about as long as so many fits on all rows.

    Args:
        fits: Number of fits on all rows, at least 1.
        rows: Number of rows.
        rarer: Number of those with the rarer label.

    Example:
        >>> [tuple(one) for one in rungs(6, 100_000, 20_000)]
        [(16, 16), (4, 8), (1, 2)]
        >>> [tuple(one) for one in rungs(6, 20_000, 4_000)]
        [(4, 12), (1, 3)]
        >>> [tuple(one) for one in rungs(1, 100_000, 20_000)]
        [(1, 1)]
    """
    useful = [
        thinning
        for thinning in _EACH
        if thinning == 1
        or (rows // thinning >= _FEWEST_ROWS and rarer // thinning >= _FEWEST_LABELS)
    ][-fits:]
    each, left = divmod(fits, len(useful))
    return [Rung(one, _EACH[one] * each + (left if one == 1 else 0)) for one in useful]


def halved(
    server: H2OServer,
    task: FitTask,
    window: Window,
    tables: Tables,
    labels: Floats,
    first: Parameters,
    proposals: Sequence[Parameters],
    fits: int,
) -> list[Candidate]:
    """Fit proposals round by round, for the price of so many fits on all rows.

    Args:
        server: H2O that has the tables.
        task: The fit.
        window: Window of the training table.
        tables: Names of the training and the validation table.
        labels: Labels of the validation rows.
        first: The last winner's parameters, which have been fitted on all rows; on fewer rows they
            are fitted here, as a standard for later proposals.
        proposals: Candidates that can be fitted on the rows; of too many the first are.
        fits: The price, at least 1.

    Returns:
        All fitted candidates, in order.
    """
    fitted: list[Candidate] = []
    left = list(proposals)
    for thinning, most in rungs(fits, window.rows, window.rarer):
        tries, number, table = left[:most], 1, tables.training
        if thinning > 1:
            table = f"{tables.training}thin{thinning}"
            thin(server, tables.training, table, thinning, task.seed)
            if not is_varied(server, table, task.features):
                continue
            surely = window.rows // thinning // 2
            tries, number = fitting([first, *left], surely)[: most + 1], 0
        round_ = fit_each(
            server, task.algorithm, Tables(table, tables.validation), labels, tries, task.seed,
            number, thinning,
        )  # fmt: skip
        fitted += round_
        best = sorted(round_, key=lambda one: one.log_loss)
        left = [one.parameters for one in best if one.parameters != first] or left
    return fitted
