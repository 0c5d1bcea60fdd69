"""All models of a shard as one function from a vector to all probabilities.

Its results equal those of `Bank.predict`, `Offline.predict` and `Ensemble.answer` to the last bit
(a test checks it). It changes nothing, so any number of threads may call it at once. Every
probability is finite: if arithmetic on extreme numbers gives an offline model none, the answer is
as without that model.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.linear.bank import NEWEST, OLDER, Bank
from models.linear.ensemble import Ensemble
from models.linear.mixture import PARTS
from models.linear.river_model import RiverModels
from models.logits import logit
from models.scoring import blend_kernels as kernels
from models.scoring.bound_model import NO_TABLE, Offline

Row = NDArray[np.float64]


class NotFiniteError(ArithmeticError):
    """A probability is not finite: the models' state is damaged."""

    def __init__(self, probability: float) -> None:
        super().__init__(
            f"probability must be finite; got {probability} from the models' state: "
            "`headwater doctor` checks the home"
        )


class Blend(NamedTuple):
    """P(label is 1) of the ensemble and of each model; None if no offline model gives one."""

    probability: float
    online: float
    offline: float | None
    residual: float | None


class Watched(NamedTuple):
    """An answer, for the detectors of drift.

    Attributes:
        detectors: Address of the detectors; 0: there are none.
        doubts: Address of the detectors of the newest offline model; 0: there are none.
        counts: Address of the histogram of `models.judging.trust_counts`.
        probability: P(label is 1) that was answered.
        event_time: Event time of the request, µs.
        limit: Capital from which on there is an alarm.
    """

    detectors: int
    doubts: int
    counts: int
    probability: float
    event_time: float
    limit: float


UNWATCHED = Watched(0, 0, 0, 0.0, 0.0, 0.0)


class Serving(NamedTuple):
    """The offline models that answer.

    Attributes:
        newest: The model in use; None before the first.
        older: The previous model, while it has a share in the answers.
        slot: Slot of the bank's learners that correct the newest one.
    """

    newest: Offline | None = None
    older: Offline | None = None
    slot: int = NEWEST


NOTHING = Serving()


class CompiledModels:
    """Asks and teaches the models of a shard.

    Predicting uses the models' current state, while nothing changes them. Each thread has its own.

    Args:
        bank: The linear learners.
        rivers: The River classifiers.
        ensemble: The mixtures that weigh all parts.

    Attributes:
        parts: float64[parts]: the logits of all parts for the last predicted vector.
    """

    def __init__(self, bank: Bank, rivers: RiverModels, ensemble: Ensemble) -> None:
        self._bank, self._rivers = bank, rivers
        self._tables = bank.table(), ensemble.table()
        self._addresses = tuple(table.address for table in self._tables)
        self.parts = np.empty(ensemble.parts)
        self._parts_address: int = self.parts.ctypes.data

    def predict(self, row: Row, serving: Serving) -> Blend:
        """Compute all probabilities; leave the logits of all parts in `parts`.

        Args:
            row: The vector, float64, C order, NaN for a missing value.
            serving: The offline models that answer.

        Raises:
            NotFiniteError: The models' state is damaged.
        """
        if self._rivers:
            self.parts[PARTS:] = self._rivers.logits(self._bank.design(row))
        newest, older, slot = serving
        bank, ensemble = self._addresses
        p, online, tree, residual, beyond = kernels.blend(
            row, bank, ensemble, _address(newest), _address(older), _given(newest, row),
            _given(older, row), slot, self._parts_address,
        )  # fmt: skip
        if beyond and _learned_levels(serving):
            return self.predict(row, serving)
        if not p >= 0.0:
            raise NotFiniteError(p)
        if tree != tree:  # noqa: PLR0124 - NaN; twice as fast as math.isnan
            return Blend(p, online, None, None)
        return Blend(p, online, tree, residual)

    def predict_many(self, rows: Row, serving: Serving) -> list[Blend]:
        """Compute all probabilities for many vectors, as `predict` does.

        Args:
            rows: float64[n, width], C order.
            serving: See `predict`.

        Raises:
            NotFiniteError: See `predict`.
        """
        if self._rivers:
            return [self.predict(row, serving) for row in rows]
        given = [
            np.full(len(rows), np.nan) if offline is None else offline.predict_many(rows)
            for offline in serving[:2]
        ]
        found = kernels.blend_many(rows, *self._addresses, *given, serving.slot)
        if not (found[:, 0] >= 0.0).all():
            raise NotFiniteError(math.nan)
        return list(map(_blend_of, found.tolist()))

    def learn(self, row: Row, label: int, newest: float, older: float) -> None:
        """Let all learners learn from one labelled vector.

        Args:
            row: The scored vector.
            label: 0 or 1.
            newest: Logit of the newest offline model for it; NaN: there is none.
            older: Logit of the older offline model; NaN: there is none.
        """
        if self._rivers:
            # With the scale from before the label, as when it was scored.
            self._rivers.learn(self._bank.design(row), label)
        self._bank.make_room()
        kernels.teach(row, self._addresses[0], label, newest, older)

    def weigh(
        self,
        parts: int,
        label: int,
        newest_at: int = NEWEST,
        older_at: int = OLDER,
        contest: int = 0,
        watched: Watched = UNWATCHED,
    ) -> int:
        """Update all weights by a request's parts; call it in request order.

        Args:
            parts: Address of the parts.
            label: 0 or 1.
            newest_at: Current slot of the model that was the newest then; GONE: it no longer
                answers.
            older_at: Current slot of the model that was the older then.
            contest: Address of the contest of these two models; 0: there is none.
            watched: For the detectors of drift.

        Returns:
            The kind of an alarm, see `models.judging.drift.KINDS`; -1: there is none.
        """
        found: int = kernels.weigh(
            parts, self._addresses[1], label, newest_at, older_at, contest, *watched
        )
        return found

    def warm_up(self, serving: Serving = NOTHING) -> None:
        """Compile the kernels, or load them from disk, before the first request."""
        row = np.full(self._tables[0].row["width"][0], np.nan)
        self.predict(row, serving)
        self.predict_many(row[np.newaxis], serving)
        other, weights = Bank(["identity"]), Ensemble()
        teacher = CompiledModels(other, RiverModels([]), weights)
        teacher.predict_many(np.zeros((1, 1)), NOTHING)
        teacher.learn(np.zeros(1), 0, np.nan, np.nan)
        teacher.weigh(teacher._parts_address, 0)
        other.warm(np.zeros((1, 1)), np.zeros(1, np.int64), np.zeros(1))


def logit_of(offline: Offline | None, row: Row) -> float:
    """Log odds of an offline model for a vector; NaN without a model or without an answer."""
    if offline is None:
        return math.nan
    p = offline.predict(row)
    return logit(p) if math.isfinite(p) else math.nan


def _address(offline: Offline | None) -> int:
    return NO_TABLE.address if offline is None else offline.table.address


def _given(offline: Offline | None, row: Row) -> float:
    """The probability of a model that compiled code cannot compute."""
    return 0.0 if offline is None or offline.is_compiled else offline.predict(row)


def _learned_levels(serving: Serving) -> bool:
    """Whether a model has a new table, for levels that are new in the stream."""
    learned = False
    for offline in serving[:2]:
        if offline is not None:
            table = offline.table
            offline.learn_levels()
            learned |= offline.table is not table
    return learned


def _blend_of(found: Iterable[float]) -> Blend:
    p, online, tree, residual = found
    return Blend(p, online, None, None) if math.isnan(tree) else Blend(p, online, tree, residual)
