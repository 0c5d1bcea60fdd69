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
from models.refit.fit_record import FitRecord, TriedCandidate
from models.refit.halving import rungs
from models.refit.plan import FitTask

_MOST_REMEMBERED = 256
"""Newest trials that proposals rest on: older ones tell of another world, and take time."""
_FEW = 8
"""Trials below which proposals are random."""
_ENOUGH = (10**9, 10**9)
"""Rows of a window, and of its rarer label, that allow for the most candidates."""
_TURNS = 8
"""Attempts for each proposal to find one that is new."""


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
    """Parameters, and how much worse they were than a common standard; lower is better."""

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

    The defaults are among them, unless they won last or there is a single candidate. While little
    is known, every other candidate is drawn from the grid.

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
    known = [first, *defaults]
    random = int(np.random.SeedSequence(seed).generate_state(1)[0])
    sampled = _sampled(space, trials, known, count, random)
    if len(trials) < _FEW:
        sampled = [one for pair in zip_longest(drawn, sampled) for one in pair if one is not None]
    others = [one for one in defaults if one != first]
    unique = {msgspec.json.encode(one): one for one in [*sampled[:1], *others, *sampled[1:]]}
    return Proposals(
        boundary=task.boundary,
        algorithm=task.algorithm,
        trials=len(trials),
        candidates=list(unique.values())[:count],
    )


def remembered(earlier: Sequence[FitRecord], space: Space) -> list[Trial]:
    """The newest trials of earlier searches.

    Losses at different boundaries, on different windows or shares of the rows are not comparable.
    So a trial's excess is its log-loss less the one of that boundary's first candidate on the same
    rows; that one had won before, and its own excess then is added. Parameters that were tried on
    several shares count on the largest.

    Args:
        earlier: Decisions, in order.
        space: Space of the parameters; others are left out.
    """
    known: list[Trial] = []
    # A rollback repeats the record of its model.
    searches = {msgspec.json.encode(one.tried): one.tried for one in earlier if one.tried}
    for tried in searches.values():
        first = tried[0].parameters
        base = next((one.excess for one in reversed(known) if one.parameters == first), 0.0)
        known += [
            Trial(one.parameters, excess + base)
            for one, excess in _excesses(tried)
            if is_within(space, one.parameters)
        ]
    return known[-_MOST_REMEMBERED:]


def _excesses(tried: Sequence[TriedCandidate]) -> list[tuple[TriedCandidate, float]]:
    """Each candidate on the most of its rows, with its log-loss less that of the first there."""
    first = tried[0].parameters
    losses = {(one.window, one.thinning): one.log_loss for one in tried if one.parameters == first}
    # In the order of the shares, so that the largest comes last.
    by_share = sorted(tried, key=lambda one: -one.thinning)
    largest = {msgspec.json.encode((one.parameters, one.window)): one for one in by_share}
    return [
        (one, one.log_loss - losses[one.window, one.thinning])
        for one in largest.values()
        if (one.window, one.thinning) in losses
    ]


def _sampled(
    space: Space, trials: Sequence[Trial], known: Sequence[Parameters], count: int, seed: int
) -> list[Parameters]:
    """New points of the space, by Optuna, fewer if it finds no more."""
    if count < 1:
        return []
    import optuna  # noqa: PLC0415 - it is optional, and takes .4 s

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    of = {name: _distribution(values) for name, values in space.items()}
    free = {name: one for name, one in of.items() if not one.single()}
    fixed = {name: values[0] for name, values in space.items() if name not in free}
    sampler = optuna.samplers.TPESampler(
        seed=seed,
        n_startup_trials=_FEW,
        multivariate=True,
        constant_liar=True,  # else all proposals of a boundary are alike
    )
    study = optuna.create_study(sampler=sampler)
    for parameters, excess in trials:
        ours = {name: parameters[name] for name in free}
        study.add_trial(optuna.trial.create_trial(params=ours, distributions=free, value=excess))
    found: list[Parameters] = []
    for _ in range(count * _TURNS):
        drawn = study.ask(free).params
        one = rounded({name: (fixed | drawn)[name] for name in space})
        if one not in found and one not in known:
            found.append(one)
        if len(found) == count:
            break
    return found


def _distribution(values: Range | Sequence[Value]) -> Any:
    import optuna.distributions as of  # noqa: PLC0415

    if not isinstance(values, Range):
        return of.CategoricalDistribution(list(values))
    if values.whole:
        return of.IntDistribution(int(values.low), int(values.high), log=values.log)
    return of.FloatDistribution(values.low, values.high, log=values.log)
