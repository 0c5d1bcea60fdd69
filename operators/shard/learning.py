"""All models of a shard: they answer its requests and learn from the labels.

The learners learn from each label when it arrives. The weights are updated in request order, as far
as all labels are known. Two offline models may answer: the one in use, and the previous one while
it has a share.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.judging.column_reference import Reference
from models.judging.drift_watch import DriftWatch
from models.judging.trust_counts import TrustCounts
from models.judging.waiting_counts import GROUP, Turns, WaitingCounts
from models.linear.bank import NEWEST, OLDER, Bank
from models.linear.contest import Contest
from models.linear.ensemble import Ensemble
from models.linear.ensemble_kernels import GONE
from models.linear.mixture import GROUPED, NEWEST_OFFLINE, OLDER_OFFLINE
from models.linear.mixture import NEWEST as NEWEST_PARTS
from models.linear.mixture import OLDER as OLDER_PARTS
from models.linear.river_model import RiverModels
from models.logits import logit
from models.scoring.blend import (
    NOTHING,
    UNWATCHED,
    CompiledModels,
    Serving,
    Watched,
    logit_of,
)
from models.scoring.bound_model import Offline
from operators.shard.estimate_records import ahead, judged
from operators.shard.metric_alerts import MetricAlerts
from state.admission.pending_requests import PendingRequest
from state.admission.recent_labels import RecentLabels
from state.admission.request_order import NO_TURN, RequestOrder
from state.outputs.records import Ahead, JudgedEstimate
from state.restored import Count, check
from state.settings import Settings
from state.stream import Stream

Row = NDArray[np.float64]

_LOOK_EVERY = 256
"""Number of weighed requests between checks whether the older model has lost its share."""


class ActiveModels(msgspec.Struct):
    """The offline models that answer, numbered from 1 in the order of activation.

    Attributes:
        model: Id of the newest model; None: there is none.
        older: Id of the previous model, while it answers.
        number: Number of the newest model; 0: there is none.
        older_number: Number of the older model; 0: there is none.
        last_number: The last number that was given.
        champion: Id of the model that has the title; None: there is no model.
    """

    model: str | None = None
    older: str | None = None
    number: Count = 0
    older_number: Count = 0
    last_number: Count = 0
    champion: str | None = None

    def __post_init__(self) -> None:
        """Refuse invalid numbers."""
        paired = (self.model is None) == (self.number == 0)
        paired &= (self.older is None) == (self.older_number == 0)
        check(paired, "each model in use must have a number", (self.number, self.older_number))
        apart = self.model is None or self.number != self.older_number
        check(apart and (self.older is None or self.model), "models in use must be two", self.older)
        most = max(self.number, self.older_number)
        check(most <= self.last_number, f"models must be numbered to {self.last_number}", most)
        titled = (self.champion is None) == (self.model is None)
        titled &= self.champion in {self.model, self.older}
        check(titled, "the champion must be one of the models in use", self.champion)


class _Beside(NamedTuple):
    """The model that answers beside the newest one, and its slot until then; by default none."""

    model: str | None = None
    number: int = 0
    slot: int | None = None
    offline: Offline | None = None


class Learning:
    """The models of a shard, online and offline.

    Args:
        stream: The shard's stream.
        settings: Settings with the River classifiers.

    Attributes:
        in_use: Ids of the offline models that answer.
        serving: The offline models themselves.
        watch: The watch for drift over the answers.
        trust: Thresholds from which answers can be trusted.
        metric_alerts: Lines that metrics of the answers must keep to.
        waiting: Counts of the answers whose turn to be judged has not come.
    """

    def __init__(self, stream: Stream, settings: Settings) -> None:
        columns = stream.columns
        places = {column.name: i for i, column in enumerate(columns)}
        self.in_use, self.serving = ActiveModels(), NOTHING
        self._bank = Bank(
            ["level" if column.categorical else column.transform for column in columns],
            [(places[a], places[b]) for a, b in stream.crosses],
        )
        self._recent = RecentLabels(len(columns))
        self._rivers = RiverModels(settings.online.river)
        self._ensemble = Ensemble(len(self._rivers))
        self._order = RequestOrder(self._ensemble.parts)
        self._contest = Contest()
        self._watched = settings.promotion.watch
        self.watch = DriftWatch(settings.drift.false_alarms, settings.drift.rest)
        self.trust = TrustCounts()
        self.metric_alerts = MetricAlerts(settings)
        self.waiting = WaitingCounts(settings.decision.threshold)
        self._models = self.compiled()

    @property
    def champion(self) -> tuple[str | None, Reference | None]:
        """Id of the model that has the title, and its columns in its training window."""
        in_use, serving = self.in_use, self.serving
        own = serving.newest if in_use.champion == in_use.model else serving.older
        return in_use.champion, None if own is None else own.reference

    def configure(self, before: Settings, settings: Settings) -> None:
        """Apply other settings; other River classifiers begin untrained."""
        self._watched = settings.promotion.watch
        self.watch.configure(settings.drift.false_alarms, settings.drift.rest)
        self.metric_alerts.configure(settings)
        self.waiting.begin(settings.decision.threshold, self._order.answers())
        if before.online.river == settings.online.river:
            return
        self._rivers = RiverModels(settings.online.river)
        self._ensemble.change_rivers(len(self._rivers))
        self._order.change_width(self._ensemble.parts)
        self._models = self.compiled()

    def compiled(self) -> CompiledModels:
        """The compiled interface to the models in their current state; for one thread."""
        return CompiledModels(self._bank, self._rivers, self._ensemble)

    def asked(self, answered: CompiledModels, probability: float, event_time: int) -> int:
        """Register an answered request; return its turn in the order of weighing.

        Args:
            answered: The models, right after their answer.
            probability: The answer.
            event_time: Time of the request, µs.
        """
        in_use = self.in_use
        turn = self._order.add(
            answered.parts, in_use.number, in_use.older_number, probability, event_time
        )
        if turn != NO_TURN:
            self.waiting.add(probability)
        return turn

    def learn(self, waiting: PendingRequest, row: Row, label: int) -> None:
        """Learn from a request's label.

        Args:
            waiting: The pending request.
            row: The request's vector.
            label: 0 or 1.
        """
        newest = older = math.nan
        if self.in_use.number:
            newest, older = self._offline_logits(waiting, row)
        self._models.learn(row, label, newest, older)
        self._recent.add(row, label)
        self._order.label(waiting.turn, label)
        self._weigh()

    def forget(self, waiting: PendingRequest) -> None:
        """Drop a request that gets no label, so that later ones need not wait for it."""
        self._order.drop(waiting.turn)
        if waiting.turn != NO_TURN:
            self.waiting.drop(waiting.prediction.probability)
        self._weigh()

    def _offline_logits(self, waiting: PendingRequest, row: Row) -> tuple[float, float]:
        """Logits of the current offline models; a model may be newer than the request."""
        turn, order, in_use = waiting.turn, self._order, self.in_use
        if turn == NO_TURN:
            made = waiting.prediction
            if made.offline is None or made.model != in_use.model:
                return math.nan, math.nan
            return logit(made.offline), math.nan
        parts, then = order.parts[order.place(turn)], order.models(turn)
        if then == (in_use.number, in_use.older_number):
            return float(parts[NEWEST_OFFLINE]), float(parts[OLDER_OFFLINE])
        said = dict(zip(then, (parts[NEWEST_OFFLINE], parts[OLDER_OFFLINE]), strict=True))
        newest, older = (
            float(said[number]) if number in said else logit_of(offline, row)
            for number, offline in zip(
                (in_use.number, in_use.older_number), self.serving[:2], strict=True
            )
        )
        return newest, older

    def _weigh(self) -> None:
        order, in_use, watch = self._order, self.in_use, self.watch
        alerts = self.metric_alerts if self.metric_alerts.is_used else None
        while (turn := order.next()) is not None:
            self.waiting.judge(order.weighed - 1, turn.label, turn.probability)
            if alerts is not None:
                alerts.add(turn)
            # Before the first offline model the answers are still being learned.
            watched = UNWATCHED
            if turn.newest:
                time = float(turn.event_time)  # as when it was compiled
                doubts = watch.doubts if turn.newest == in_use.number else 0
                watched = Watched(
                    watch.address, doubts, self.trust.address, turn.probability, time, watch.limit
                )
            if (turn.newest, turn.older) == (in_use.number, in_use.older_number):
                contest = self._contest.address if turn.older else 0
                alarm = self._models.weigh(
                    turn.address, turn.label, contest=contest, watched=watched
                )
            else:
                at = self._slot(turn.newest), self._slot(turn.older)
                alarm = self._models.weigh(turn.address, turn.label, *at, watched=watched)
            if alarm >= 0:
                watch.alarm(alarm, turn.event_time)
            if order.weighed % _LOOK_EVERY == 0:
                if turn.newest:
                    watch.look(order.weighed, turn.event_time)
                if in_use.older is not None and self._has_left():
                    self._leave()
                    in_use = self.in_use

    def _slot(self, number: int) -> int:
        """The current slot of a model."""
        if number == self.in_use.number:
            return NEWEST
        return OLDER if number == self.in_use.older_number else GONE

    def _has_left(self) -> bool:
        """Whether the older model has lost its share, and may stop answering.

        It may not as long as the title is open, nor for some labels after a promotion: it may have
        to take the title back.
        """
        in_use = self.in_use
        if in_use.champion != in_use.model or self._contest.evidence.labels < self._watched:
            return False
        return self._ensemble.has_left_older(self._present())

    def activate(
        self,
        model: str | None,
        offline: Offline | None,
        *,
        alone: bool,
        champion: str | None = None,
    ) -> None:
        """Activate another offline model; one that was in use before answers beside it.

        That is the champion, if it is another and still answers; else the previous model.

        Args:
            model: Id of the model; None: no model.
            offline: The model.
            alone: The previous model was rolled back and stops answering.
            champion: See `Activation`; the model itself stands alone if it is another than before.
        """
        was = self.in_use
        if model == was.model:
            self._title(champion, alone=alone)
            return
        self._contest.restart()
        self.watch.trust_again()
        if model is None:
            self._ensemble.activate(older=None)
            self._bank.activate(older=None)
            self.in_use, self.serving = ActiveModels(last_number=was.last_number), NOTHING
            return
        back = model == was.older
        beside = self._beside(model, champion, alone=alone)
        if was.model is None:
            self._ensemble.begin_offline()
        begin = OLDER if back else None
        self._ensemble.activate(begin, beside.slot)
        self._bank.activate(begin, beside.slot)
        number = was.older_number if back else was.last_number + 1
        self.in_use = ActiveModels(
            model, beside.model, number, beside.number, max(number, was.last_number),
            beside.model or model,
        )  # fmt: skip
        self.serving = Serving(offline, beside.offline)
        if offline is not None and not back:
            self._warm(offline)

    def _beside(self, model: str, champion: str | None, *, alone: bool) -> "_Beside":
        """The model that answers beside a new one."""
        was = self.in_use
        if champion is not None and champion == was.older and champion != model:
            return _Beside(was.older, was.older_number, OLDER, self.serving.older)
        if was.model is None or alone or champion == model:
            return _Beside()
        return _Beside(was.model, was.number, NEWEST, self.serving.newest)

    def _title(self, champion: str | None, *, alone: bool) -> None:
        """Give the title to one of the models in use; `alone`: the newest one goes on alone."""
        was = self.in_use
        if alone and was.older is not None:
            self._leave()
        elif champion in {was.model, was.older} - {None, was.champion}:
            self.in_use = msgspec.structs.replace(was, champion=champion)
            self._contest.restart()

    def _warm(self, offline: Offline) -> None:
        rows, labels = self._recent.all()
        if len(labels):
            said = offline.predict_many(rows).tolist()
            logits = [logit(p) if math.isfinite(p) else math.nan for p in said]
            self._bank.warm(rows, labels, np.array(logits))

    def _leave(self) -> None:
        """Stop answering with the older model."""
        was = self.in_use
        self._ensemble.activate(NEWEST, None)
        self.in_use = msgspec.structs.replace(was, older=None, older_number=0, champion=was.model)
        self._contest.restart()
        self.serving = Serving(self.serving.newest)

    def cut(self) -> int:
        """Forget recent labels, as a fit may have seen them; return `DriftWatch.cut`."""
        self._recent.clear()
        change = self.watch.cut()
        if change:
            # The evidence is gone, and the model that it is about answers on until the fit.
            self.waiting.doubt(self._order.weighed + GROUP)
        return change

    def doubt(self) -> str:
        """The reason why an estimate cannot be trusted now; see `Ahead`."""
        if self.in_use.model is None:
            return "no offline model"
        if not math.isfinite(self.watch.limit):
            return "too few labels"
        is_doubted = self.waiting.is_doubted(self._order.weighed)
        return "" if self.watch.is_calm and not is_doubted else "drift"

    def gather(self, time: int) -> None:
        """Gather the requests that an estimate is made of at a tick of this event time, µs."""
        order = self._order
        self.waiting.tick(time, Turns(order.weighed, order.end), trusted=not self.doubt())

    def look_ahead(self) -> tuple[Ahead | None, JudgedEstimate | None]:
        """The estimate of the requests that wait, and the newest one whose labels are known."""
        return ahead(self.waiting.waiting(), self.doubt()), judged(self.waiting.last)

    def shares(self) -> dict[str, float]:
        """Shares of the parts in the answers; see `Ensemble.shares`."""
        return self._ensemble.shares(self._present())

    def title(self) -> tuple[str | None, float | None, float | None, int, float | None]:
        """The champion of two models, and the evidence between them; see `Metrics`."""
        if self.in_use.older is None:
            return None, None, None, 0, None
        return self.in_use.champion, *self._contest.evidence

    def _present(self) -> NDArray[np.bool_]:
        present = np.ones(self._ensemble.parts, bool)
        if self.in_use.model is None:
            present[NEWEST_PARTS.start : NEWEST_OFFLINE + 1] = False
            present[GROUPED.start + 1] = False
        if self.in_use.older is None:
            present[OLDER_PARTS.start : OLDER_OFFLINE + 1] = False
            present[GROUPED.stop - 1] = False
        return present

    def parts(self) -> dict[str, Any]:
        """The parts of the state, by name."""
        return {
            "learners": self._bank,
            "River classifiers": self._rivers,
            "ensemble": self._ensemble,
            "request order": self._order,
            "contest": self._contest,
            "watch for drift": self.watch,
            "trust": self.trust,
            "estimates": self.waiting,
            "recent labels": self._recent,
        }

    def check(self, turns: list[int], levels: dict[int, int]) -> None:
        """Refuse restored parts that do not fit the rest of the shard.

        Args:
            turns: Turns of the pending requests.
            levels: Number of levels of each categorical column.

        Raises:
            ValueError: A part does not fit.
        """
        self._order.check(turns, self.in_use.last_number)
        self.waiting.check(self._order.end, self._order.answers())
        self._recent.check(levels)

    def bind(self, in_use: ActiveModels, load: Callable[[str], Offline | None]) -> None:
        """Set the offline models that answer.

        Args:
            in_use: Their ids.
            load: Returns the model of an id.
        """
        self.in_use = in_use
        newest, older = (None if one is None else load(one) for one in (in_use.model, in_use.older))
        self.serving = Serving(newest, older)
