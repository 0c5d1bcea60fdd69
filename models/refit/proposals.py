"""The parameters that a search proposes by what earlier fits found, with Optuna's TPE.

Only a new proposal needs Optuna: it is journaled before it is fitted, and read from then on.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from itertools import zip_longest
from typing import Any, NamedTuple

import msgspec
import numpy as np

from models.h2o.search import Parameters, Value, candidates
from models.h2o.space import Range, Space, is_within, rounded, size_of, space_of
from models.refit.fit_record import FitRecord
from models.refit.halving import rungs
from models.refit.plan import FitTask

_MOST_REMEMBERED = 256
"""Newest losses that proposals rest on: older ones tell of another world, and take time."""
_MOST_LEARNED = 128
"""Most proposals by TPE, which takes longer for each; the others are drawn at random."""
_FEW = 8
"""Trials below which none is proposed by TPE."""
_ENOUGH = (10**9, 10**9)
"""Rows of a window, and of its rarer label, that allow for the most candidates."""


class MissingOptunaError(Exception):
    """The settings ask for a search that remembers, and Optuna is not installed."""


class Proposals(msgspec.Struct, frozen=True, kw_only=True):
    """The candidates of one search, journaled before they are fitted.

    Attributes:
        boundary: Boundary of the fit, µs UTC.
        algorithm: H2O's name of the algorithm.
        trials: Number of earlier trials that they rest on.
        candidates: Parameters to try, in order.
    """

    boundary: int
    algorithm: str
    trials: int
    candidates: list[Parameters]


class Trial(NamedTuple):
    """Parameters and their log-loss in excess of that of others on the same rows."""

    parameters: Parameters
    excess: float


def check_optuna() -> None:
    """Refuse to go on without Optuna.

    Raises:
        MissingOptunaError: It is not installed.
    """
    if find_spec("optuna") is None:
        msg = (
            "package optuna must be installed for training.search = 'tpe'; got none: "
            "pip install 'headwater[search]', or training.search = 'grid'"
        )
        raise MissingOptunaError(msg)


def proposed(task: FitTask, earlier: Sequence[FitRecord]) -> Proposals:
    """Propose candidates for a fit; the same arguments give the same in any process.

    One in three is drawn from the whole space, so that a better place is found however good the
    last one was; while little is known all are, every other one from the grid. The defaults are
    among them, unless they won last or there is a single candidate.

    Args:
        task: The fit, by any algorithm except `automl`.
        earlier: Decisions so far, in order.
    """
    space = space_of(task.algorithm)
    trials = remembered(earlier, space)
    seed = [task.seed, task.boundary // 1_000_000]
    most = rungs(task.draws, *_ENOUGH)[0].candidates
    count = int(min(most, size_of(space) - 1))
    first, *drawn = candidates(task.algorithm, task.previous, count, seed)
    defaults = candidates(task.algorithm, None, 0, seed)
    learned, wild = _sampled(space, trials, min(count, _MOST_LEARNED), count, seed)
    known = len(trials) >= _FEW
    by_turns = (learned[0::2], learned[1::2], wild) if known else (drawn, wild)
    others = [one for turn in zip_longest(*by_turns) for one in turn if one is not None]
    found = [one for one in [*others[:1], *defaults, *others[1:]] if one != first]
    unique = {msgspec.json.encode(one): one for one in found}
    return Proposals(
        boundary=task.boundary,
        algorithm=task.algorithm,
        trials=len(trials),
        candidates=list(unique.values())[:count],
    )


def remembered(earlier: Sequence[FitRecord], space: Space) -> list[Trial]:
    """The parameters of earlier searches, each with its log-loss in excess of the others'.

    Losses at different boundaries, on different windows or shares of the rows do not compare. So
    each of these is given a level of its own, by least squares over all newest losses: what was
    tried at several boundaries, as last winners and the defaults are, ties the levels together.
    A winner that was lucky is corrected when it is tried again.

    Args:
        earlier: Decisions, in order.
        space: Space of the parameters; others are left out.
    """
    # A rollback repeats the record of its model.
    searches = {msgspec.json.encode(one.tried): one.tried for one in earlier if one.tried}
    seen = [
        (msgspec.json.encode(one.parameters), (number, one.window, one.thinning), one)
        for number, tried in enumerate(searches.values())
        for one in tried
        if is_within(space, one.parameters)
    ][-_MOST_REMEMBERED:]
    parameters = {key: one.parameters for key, _, one in seen}
    columns = {
        key: i for i, key in enumerate([*parameters, *dict.fromkeys(of for _, of, _ in seen)])
    }
    design = np.zeros((len(seen), len(columns)))
    for row, (key, level, _) in zip(design, seen, strict=True):
        row[[columns[key], columns[level]]] = 1.0
    losses = np.array([one.log_loss for *_, one in seen])
    # Rounded, as the last bits may depend on the number of threads.
    fitted = np.linalg.lstsq(design, losses)[0].round(9).tolist() if seen else []
    return [Trial(*one) for one in zip(parameters.values(), fitted, strict=False)]


def _sampled(
    space: Space, trials: Sequence[Trial], learned: int, wild: int, seed: Sequence[int]
) -> tuple[list[Parameters], list[Parameters]]:
    """Points of the space, by Optuna's TPE and at random."""
    import optuna  # noqa: PLC0415 - it is optional, and takes .4 s

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    of = {name: _distribution(values) for name, values in space.items()}
    free = {name: one for name, one in of.items() if not one.single()}
    fixed = {name: values[0] for name, values in space.items() if name not in free}
    first, second = np.random.SeedSequence(seed).generate_state(2).tolist()
    tpe = optuna.samplers.TPESampler(
        seed=first,
        n_startup_trials=_FEW,
        multivariate=True,
        constant_liar=True,  # else all proposals of a boundary are alike
    )

    def asked(sampler: Any, count: int) -> list[Parameters]:
        study = optuna.create_study(sampler=sampler)
        for parameters, excess in trials:
            ours = {name: parameters[name] for name in free}
            study.add_trial(
                optuna.trial.create_trial(params=ours, distributions=free, value=excess)
            )
        drawn = [fixed | study.ask(free).params for _ in range(count)]
        return [rounded({name: one[name] for name in space}) for one in drawn]

    return asked(tpe, learned), asked(optuna.samplers.RandomSampler(seed=second), wild)


def _distribution(values: Range | Sequence[Value]) -> Any:
    import optuna.distributions as of  # noqa: PLC0415

    if not isinstance(values, Range):
        return of.CategoricalDistribution(list(values))
    if values.whole:
        return of.IntDistribution(int(values.low), int(values.high), log=values.log)
    return of.FloatDistribution(values.low, values.high, log=values.log)
