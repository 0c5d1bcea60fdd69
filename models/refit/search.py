"""The search of one fit: how far back to look, then which parameters."""

from typing import NamedTuple

import numpy as np
import polars as pl

from models.h2o.fit import Candidate, Tables, best_of, fit_each, refit
from models.h2o.frames import cut, import_files, upload
from models.h2o.search import candidates, fitting
from models.h2o.server import H2OServer
from models.refit.fit_record import TriedCandidate
from models.refit.halving import halved
from models.refit.plan import FitTask, Window
from models.scorecard import Floats


class Found(NamedTuple):
    """Result of a search.

    Attributes:
        winner: The best candidate.
        window: Window of the winner.
        tried: All candidates, in order.
        model: Name in H2O of the model to publish: the winner, or the winner fitted once more.
    """

    winner: Candidate
    window: Window
    tried: list[TriedCandidate]
    model: str


def search(
    server: H2OServer,
    task: FitTask,
    windows: list[Window],
    prefix: str,
    validation: pl.DataFrame,
    labels: Floats,
) -> Found:
    """Fit `task.draws` candidates beside the first, all judged by the same rows.

    The first has the last winner's parameters and window. The next have its parameters and other
    windows, the rest have other parameters and the best window so far: drawn ones, or those of
    `task.proposals`, most of them on a part of the rows.

    Args:
        server: A running H2O that can read the files.
        task: The fit.
        windows: Windows to try, from the task's plan.
        prefix: Prefix of the names in H2O.
        validation: Validation rows.
        labels: Labels of the validation rows.

    Raises:
        H2OFailed: H2O refused or failed, or no candidate is usable.
    """
    everything, judging = f"{prefix}files", f"{prefix}validation"
    import_files(server, everything, task.files, task.features, task.categoricals)
    upload(server, judging, validation, task.features, task.categoricals)
    seed = [task.seed, task.boundary // 1_000_000]
    tried = _tried(windows, task.draws, seed)
    tables = {f"{prefix}training{number}": window for number, window in enumerate(tried)}

    def fits(table: str, draws: int) -> list[Candidate]:
        """The last winner's parameters without a draw, else so many others."""
        tries = candidates(task.algorithm, task.previous, task.draws, seed, tables[table].rows)
        wanted = tries[1 : draws + 1] if draws else tries[:1]
        return fit_each(
            server, task.algorithm, Tables(table, judging), labels, wanted, task.seed, bool(draws)
        )

    fitted = []
    for table, window in tables.items():
        cut(server, everything, table, window.cuts.training)
        fitted += fits(table, 0)
    table = best_of(task.algorithm, fitted).table if fitted else next(iter(tables))
    if draws := task.draws - len(tried) + 1:
        if task.proposals is None:
            fitted += fits(table, draws)
        else:
            window = tables[table]
            first, *_ = candidates(task.algorithm, task.previous, 0, seed, window.rows)
            fitted += [
                one._replace(table=table)
                for one in halved(
                    server, task, window, Tables(table, judging), labels, first,
                    fitting(task.proposals, window.rows), draws,
                )
            ]  # fmt: skip
    winner = best_of(task.algorithm, [one for one in fitted if one.thinning == 1])
    window, model = tables[winner.table], winner.model
    if task.refits:
        whole = f"{prefix}whole"
        cut(server, everything, whole, window.cuts.whole)
        model = refit(server, task.algorithm, winner, whole, task.seed)
    known = [
        TriedCandidate(
            parameters=one.parameters,
            trees=one.trees,
            log_loss=one.log_loss,
            window=tables[one.table].back,
            thinning=one.thinning,
        )
        for one in fitted
    ]
    return Found(winner, window, known, model)


def _tried(windows: list[Window], draws: int, seed: list[int]) -> list[Window]:
    """The first window and so many others that they are half of the draws, of one draw by turns."""
    random = np.random.default_rng(seed)
    first, *others = windows
    most = (draws + 1) // 2 if draws > 1 else int(random.integers(draws + 1))
    chosen = sorted(random.permutation(len(others))[:most].tolist())
    return [first, *(others[i] for i in chosen)]
