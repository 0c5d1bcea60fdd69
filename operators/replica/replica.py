"""A replica of one shard: it follows the flow while any number of threads score with it."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from msgspec import UnsetType

from models.judging.trust_counts import Trusted
from models.linear.bank import OLDER
from models.logits import logit, odds_in_words
from models.scoring.blend import NOTHING, Blend, Serving
from models.scoring.bound_model import Offline
from operators.replica.follower import Follower
from operators.replica.left_right import LeftRight, ReadHandle
from operators.shard.messages import Activation, Message, Records
from operators.shard.predictor import NOTHING_NEW, Predictor, Row
from operators.shard.shard import RefusedError, Shard
from operators.training.model_loader import ModelError
from state.events import Event
from state.settings import Settings


class RowError(RefusedError):
    """A request in a batch that the flow would refuse."""

    def __init__(self, message: str, row: int) -> None:
        super().__init__(message)
        self.row = row


_TOGETHER = 8
"""Number of records between two swaps of the copies; a swap takes a tenth of a record's time."""

Clock = Callable[[], int]
Load = Callable[[str, Shard], Offline]
"""Returns a verified model of an id, bound to a shard; raises `ModelError`."""


class ServingModel(NamedTuple):
    """The model that answers instead of the shard's own: its id, and the models in use with it."""

    model: str | None
    serving: Serving


class Score(NamedTuple):
    """An answer, and the state it was computed from.

    Attributes:
        row: Feature vector.
        unseen: Levels that no earlier event had, by column.
        blend: Probabilities.
        decision: Whether the ensemble's probability reaches the threshold.
        model: Id of the offline model.
        offset: Offset of the record before which the flow would have answered so.
        as_of: The highest event time before that record (µs).
        trust: Whether the answer can be trusted; UNSET: there are no thresholds.
    """

    row: Row
    unseen: Mapping[str, str]
    blend: Blend
    decision: bool
    model: str | None
    offset: int
    as_of: int
    trust: Trusted | UnsetType


class ColumnEffect(NamedTuple):
    """The effect of one column on an answer.

    Attributes:
        column: Name of the column.
        value: The scored value: a number, a level's name, or None if it was missing.
        change: Decrease of the ensemble's log odds once the column is missing.
    """

    column: str
    value: float | str | None
    change: float

    @property
    def words(self) -> str:
        """The effect in words, with its direction.

        Example:
            >>> ColumnEffect("queue", "nightly", 0.3).words
            "queue 'nightly' raises the odds by 35 %"
            >>> ColumnEffect("busy", None, -1.0).words
            'busy missing divides the odds by 2.72'
        """
        match self.value:
            case None:
                shown = "missing"
            case str(level):
                shown = repr(level)
            case number:
                shown = f"{number:g}"
        return f"{self.column} {shown} {odds_in_words(self.change)}"


class ShadowDifference(NamedTuple):
    """Distance of the shadow model's probabilities from those that were answered."""

    requests: int
    mean: float
    largest: float


class _Copy:
    """One of the two copies.

    Attributes:
        shard: Shard that obeys the journal.
        old: Answers instead of the shard's own model while that one is in shadow.
    """

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.old: ServingModel | None = None


class _ThreadState:
    """A scoring thread's own objects."""

    def __init__(self, reading: ReadHandle[_Copy]) -> None:
        self.reading = reading
        self._predictors: dict[_Copy, tuple[Settings, Predictor]] = {}

    def predictor(self, side: _Copy) -> Predictor:
        settings, made = side.shard.settings, self._predictors.get(side)
        if made is None or made[0] is not settings:
            made = self._predictors[side] = settings, side.shard.predictor()
        return made[1]


class Replica:
    """Follows in one thread, and scores in any.

    Args:
        left: Silent shard at the follower's position.
        right: Another silent shard in the same state.
        follower: Returns the messages to apply.
        load: Loads models.
        shadow: Number of requests after an activation which the previous model still answers, while
            the new one is only compared; a model that was active before is never in shadow.

    Attributes:
        trouble: The reason why a model of the journal could not be used. From then on state and
            answers may differ from the flow's, as what was learned under another model stays.
        activated: Number of activations.
        difference: Figures of the current or last model in shadow; None before the first.
    """

    def __init__(
        self, left: Shard, right: Shard, follower: Follower, load: Load, shadow: int = 0
    ) -> None:
        self._sides = LeftRight(_Copy(left), _Copy(right))
        self._follower, self._load, self._shadow = follower, load, shadow
        self._differences: deque[float] = deque(maxlen=max(shadow, 1))
        self._unfit: tuple[str | None, str] = None, ""
        self._threads = threading.local()
        self.trouble: str | None = None
        self.activated = 0
        self.difference: ShadowDifference | None = None

    @property
    def follower(self) -> Follower:
        """The follower."""
        return self._follower

    @property
    def as_of(self) -> int:
        """The highest event time so far (µs)."""
        return self._sides.active.shard.event_time

    @property
    def offset(self) -> int:
        """Offset of the first record that was not applied yet."""
        return self._sides.active.shard.position.offset

    @property
    def model(self) -> str | None:
        """Id of the offline model that answers."""
        side = self._sides.active
        return side.shard.model if side.old is None else side.old.model

    @property
    def unfit(self) -> str | None:
        """The reason why the model in shadow cannot take over; None: it can, or there is none."""
        side, (model, why) = self._sides.active, self._unfit
        return why if side.old is not None and why and model == side.shard.model else None

    def score(self, request: Event, clock: Clock) -> Score:
        """Answer as the flow would at this position; callable in any thread, without waiting.

        Args:
            request: The request.
            clock: Returns µs UTC. A request from the future is refused by the tolerance of the
                flow's clock guard; nothing else depends on the clock.

        Raises:
            RefusedError: The flow would refuse the request.
        """
        mine = self._mine()
        with mine.reading as side:
            _check(side.shard, request, clock)
            return self._score(side, mine.predictor(side), request)

    def score_many(self, requests: Sequence[Event], clock: Clock) -> list[Score]:
        """Answer each request as `score` does, at one position; the follower waits meanwhile.

        Args:
            requests: The requests.
            clock: See `score`.

        Raises:
            RowError: See `score`.
        """
        mine = self._mine()
        with mine.reading as side:
            _check_all(side.shard, requests, clock)
            predictor = mine.predictor(side)
            if side.old is None:
                return _score_many(side.shard, predictor, requests)
            return [self._score(side, predictor, request) for request in requests]

    def reasons(self, row: Row, unseen: Mapping[str, str]) -> list[ColumnEffect]:
        """Effects of the columns on the answer to a vector, by the models in use now.

        The effect is found by occlusion: the vector is scored again without the column. Columns
        with the same information share their effect, so the effects need not add up to the whole.

        Args:
            row: The scored vector.
            unseen: Levels of the vector that were unknown when it was scored, by column.
        """
        mine = self._mine()
        with mine.reading as side:
            shard, predictor = side.shard, mine.predictor(side)
            row = predictor.again(row, unseen)
            offline = predictor.knowing(shard.serving if side.old is None else side.old.serving)
            whole = logit(predictor.blend(row, offline).probability)
            levels = shard.levels
            found = []
            for i, column in enumerate(shard.stream.columns):
                without = row.copy()
                without[i] = np.nan
                change = whole - logit(predictor.blend(without, offline).probability)
                name = column.name
                value = unseen[name] if name in unseen else _told(row[i], levels.get(i))
                found.append(ColumnEffect(name, value, change))
        return found

    def keep(self, model: str | None) -> None:
        """Let a model answer, as if the model in use had just been put in shadow.

        Call it before any thread scores or follows.

        Raises:
            ModelError: The model cannot be loaded.
        """
        for side in (self._sides.active, self._sides.idle):
            offline = None if model is None else self._load(model, side.shard)
            side.old = ServingModel(model, _before(side.shard, model, offline))

    def advance(self, pause: Callable[[], object]) -> bool:
        """Apply the next message that the flow has processed; call it in one thread at a time.

        Args:
            pause: May let other threads run; called between any two records, and before a record is
                applied to the second copy.

        Returns:
            Whether there was a message.

        Raises:
            LogError: The log cannot be read.
            BusyError: A reader does not release its copy; this replica can follow no more.
        """
        self._measure()
        message = self._follower.poll()
        match message:
            case None:
                return False
            case Records(records):
                for i in range(0, len(records), _TOGETHER):
                    some = records[i : i + _TOGETHER]
                    self._apply([Records([record]) for record in some], pause)
            case Activation():
                self._activate(message)
            case _:
                self._apply([message], pause)
        return True

    def _score(self, side: _Copy, predictor: Predictor, request: Event) -> Score:
        shard, old = side.shard, side.old
        row = predictor.vector(request)
        model, serving = (shard.model, shard.serving) if old is None else old
        blend = predictor.blend(row, predictor.knowing(serving))
        if old is not None:
            self._score_beside(shard, predictor, row, blend)
        decision = blend.probability >= shard.threshold
        place = shard.position.offset, shard.event_time
        trust = shard.trusted(blend.probability, decision=decision)
        return Score(row, predictor.unseen(), blend, decision, model, *place, trust)

    def _score_beside(self, shard: Shard, predictor: Predictor, row: Row, blend: Blend) -> None:
        """Score with the model in shadow too."""
        try:
            new = predictor.blend(row, predictor.knowing(shard.serving))
        except Exception as error:  # noqa: BLE001 - a shadow's failure must not fail a request
            self._unfit = shard.model, f"model {shard.model} must score in shadow: {error!r}"
        else:
            self._differences.append(abs(new.probability - blend.probability))

    def _apply(self, messages: Sequence[Message], pause: Callable[[], object]) -> None:
        """Apply messages to the idle copy, swap the copies, and apply them to the other."""

        def change(side: _Copy) -> None:
            for message in messages:
                side.shard.apply(message)
                pause()

        self._sides.write(change, pause)

    def warm_up(self) -> None:
        """Compile the kernels, so that no request or event waits for it."""
        mine = self._mine()
        with mine.reading as side:
            mine.predictor(side).warm_up(side.shard.serving)

    def _activate(self, message: Activation) -> None:
        """Activate the model on both copies, or keep the previous one if it cannot be loaded."""
        model, load = message.model, self._load
        if model == self._sides.active.shard.model:
            self._sides.write(lambda side: _activate_again(side, message))
            return
        in_shadow = self._shadow and not self._follower.has_served(model, message.number)
        try:
            # Once per shard, as a bound model uses that shard's level numbers.
            bound = [None if model is None else load(model, shard) for shard in self._shards()]
        except ModelError as error:
            self.trouble = str(error)
            self._sides.write(lambda side: _keep(side.shard, message.number))
            return
        self._differences.clear()
        models = iter(bound)

        def change(side: _Copy) -> None:
            shard = side.shard
            if not in_shadow:
                side.old = None
            elif side.old is None:
                old = shard.model, shard.serving.newest
                shard.apply(message._replace(offline=next(models)))
                side.old = ServingModel(old[0], _before(shard, *old))
                return
            shard.apply(message._replace(offline=next(models)))

        self._sides.write(change)
        self.activated += 1

    def _measure(self) -> None:
        """Update the shadow's figures; at its end let the new model answer."""
        if not self._sides.active.old or not self._differences or self.unfit is not None:
            return
        seen = list(self._differences)
        self.difference = ShadowDifference(len(seen), sum(seen) / len(seen), max(seen))
        if len(seen) >= self._shadow:
            self._sides.write(_end_shadow)

    def _shards(self) -> tuple[Shard, Shard]:
        return self._sides.idle.shard, self._sides.active.shard

    def _mine(self) -> _ThreadState:
        mine: _ThreadState | None = getattr(self._threads, "mine", None)
        if mine is None:
            mine = self._threads.mine = _ThreadState(self._sides.reading())
        return mine


def _check(shard: Shard, request: Event, clock: Clock) -> None:
    """Refuse a request that the flow would dead-letter now."""
    shard.check(request)
    tolerance = shard.settings.clock.tolerance
    earliest = request.time - tolerance
    if earliest > shard.event_time and earliest > clock():
        msg = (
            f"time must be at most {tolerance} ahead of the clock and of the newest event; "
            f"got request {request.id!r}"
        )
        raise RefusedError(msg)


def _check_all(shard: Shard, requests: Iterable[Event], clock: Clock) -> None:
    for row, request in enumerate(requests):
        try:
            _check(shard, request, clock)
        except RefusedError as error:
            raise RowError(str(error), row) from None


def _score_many(shard: Shard, predictor: Predictor, requests: Sequence[Event]) -> list[Score]:
    rows = np.empty((len(requests), predictor.width))
    apart: dict[int, tuple[Mapping[str, str], Blend]] = {}
    for i, (request, row) in enumerate(zip(requests, rows, strict=True)):
        predictor.vector(request, row)
        unseen = predictor.unseen()
        if unseen:
            apart[i] = unseen, predictor.blend(row, predictor.knowing(shard.serving))
    found = [(NOTHING_NEW, blend) for blend in predictor.blend_many(rows, shard.serving)]
    for i, one in apart.items():
        found[i] = one
    threshold, place = shard.threshold, (shard.model, shard.position.offset, shard.event_time)
    scores = []
    for row, (unseen, blend) in zip(rows, found, strict=True):
        decision = blend.probability >= threshold
        trust = shard.trusted(blend.probability, decision=decision)
        scores.append(Score(row, unseen, blend, decision, *place, trust))
    return scores


def _activate_again(side: _Copy, message: Activation) -> None:
    """Activate the model in use again: its shadow continues, except after a rollback."""
    if message.alone:
        side.old = None
    side.shard.apply(message._replace(offline=side.shard.serving.newest))


def _keep(shard: Shard, number: int) -> None:
    shard.apply(Activation(number, shard.model, shard.serving.newest))


def _before(shard: Shard, model: str | None, offline: Offline | None) -> Serving:
    """A model and its residual learners, as they are now, as the models in use."""
    if offline is None:
        return NOTHING
    return Serving(offline, slot=OLDER) if model == shard.older else Serving(offline)


def _end_shadow(side: _Copy) -> None:
    side.old = None


def _told(value: float, levels: list[str] | None) -> float | str | None:
    if np.isnan(value):
        return None
    return float(value) if levels is None else levels[int(value)]
