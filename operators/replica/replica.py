"""A replica of one shard: it follows the flow, while any number of threads score on it."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from models.linear.bank import OLDER
from models.logits import logit
from models.scoring.blend import NOTHING, Blend, Serving
from models.scoring.bound_model import Offline
from operators.replica.follower import Follower
from operators.replica.left_right import LeftRight, Reading
from operators.shard.messages import Activation, Message, Records
from operators.shard.predictor import NOTHING_NEW, Predictor, Row
from operators.shard.shard import RefusedError, Shard
from operators.training.model_loader import ModelError
from state.events import Event
from state.settings import Settings


class RowError(RefusedError):
    """A request among many that the flow would not answer: the one of this row."""

    def __init__(self, message: str, row: int) -> None:
        super().__init__(message)
        self.row = row


_TOGETHER = 8
"""Records between two changes of the active copy, which take as long as a tenth of a record."""

Clock = Callable[[], int]
Load = Callable[[str, Shard], Offline]
"""Gives a verified model of an id, bound to a shard; raises `ModelError`."""


class Kept(NamedTuple):
    """What answers in place of a shard's own models: ids as of old, and the models."""

    model: str | None
    serving: Serving


class Score(NamedTuple):
    """An answer, and the state that it is from.

    Attributes:
        row: The vector.
        unseen: By column, the level that no event before had.
        blend: The probabilities.
        decision: Whether the ensemble's reaches the threshold.
        model: Id of the offline model.
        offset: Of the record before which the flow would have answered so.
        as_of: The highest event time before it (µs).
    """

    row: Row
    unseen: Mapping[str, str]
    blend: Blend
    decision: bool
    model: str | None
    offset: int
    as_of: int


class Reason(NamedTuple):
    """What one column did to an answer.

    Attributes:
        column: Its name.
        value: As it was scored: a number, a level's name, or None where it was missing.
        change: How much lower the ensemble's log odds are once the column is missing.
    """

    column: str
    value: float | str | None
    change: float


class Difference(NamedTuple):
    """Between the probabilities with the model in shadow and those that were answered."""

    requests: int
    mean: float
    largest: float


class _Side:
    """One of the two copies.

    Attributes:
        shard: Goes by the journal.
        old: Answers in place of the shard's own model while that one is in shadow.
    """

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.old: Kept | None = None


class _Mine:
    """What a thread that scores has for itself."""

    def __init__(self, reading: Reading[_Side]) -> None:
        self.reading = reading
        self._predictors: dict[_Side, tuple[Settings, Predictor]] = {}

    def predictor(self, side: _Side) -> Predictor:
        settings, made = side.shard.settings, self._predictors.get(side)
        if made is None or made[0] is not settings:
            made = self._predictors[side] = settings, side.shard.predictor()
        return made[1]


class Replica:
    """Follows with one thread, scores with any.

    Args:
        left: The shard where the follower stands; silent.
        right: Another in the same state; silent.
        follower: What to apply.
        load: Where models come from.
        shadow: For so many requests after an activation the model before still answers, and the
            new one is scored beside it; none if it has served before.

    Attributes:
        trouble: Why a model of the journal's was not in use, so that the state and the answers are
            not exactly the flow's: from then on, for what was learned under another model stays.
        activated: How many models took their place.
        difference: Of the model in shadow, or the last one that was; None before the first.
    """

    def __init__(
        self, left: Shard, right: Shard, follower: Follower, load: Load, shadow: int = 0
    ) -> None:
        self._sides = LeftRight(_Side(left), _Side(right))
        self._follower, self._load, self._shadow = follower, load, shadow
        self._differences: deque[float] = deque(maxlen=max(shadow, 1))
        self._unfit: tuple[str | None, str] = None, ""
        self._threads = threading.local()
        self.trouble: str | None = None
        self.activated = 0
        self.difference: Difference | None = None

    @property
    def follower(self) -> Follower:
        """Where it stands."""
        return self._follower

    @property
    def as_of(self) -> int:
        """The highest event time it has seen (µs)."""
        return self._sides.active.shard.event_time

    @property
    def offset(self) -> int:
        """The first record that does not count yet."""
        return self._sides.active.shard.position.offset

    @property
    def model(self) -> str | None:
        """Id of the offline model that answers."""
        side = self._sides.active
        return side.shard.model if side.old is None else side.old.model

    @property
    def unfit(self) -> str | None:
        """Why the model in shadow does not take over; None: it will, or there is none."""
        side, (model, why) = self._sides.active, self._unfit
        return why if side.old is not None and why and model == side.shard.model else None

    def score(self, request: Event, clock: Clock) -> Score:
        """What the flow would answer where this replica stands; in any thread, without waiting.

        Args:
            request: What is asked.
            clock: Gives µs UTC; a request from beyond it and beyond all events is refused, by the
                tolerance of the flow's clock guard. Nothing else depends on it.

        Raises:
            RefusedError: The flow would not answer the request.
        """
        mine = self._mine()
        with mine.reading as side:
            _check(side.shard, request, clock)
            return self._score(side, mine.predictor(side), request)

    def score_many(self, requests: Sequence[Event], clock: Clock) -> list[Score]:
        """What `score` would say of each, at one point of the log; the follower waits meanwhile.

        Args:
            requests: What is asked.
            clock: As for `score`.

        Raises:
            RowError: As for `score`.
        """
        mine = self._mine()
        with mine.reading as side:
            _check_all(side.shard, requests, clock)
            predictor = mine.predictor(side)
            if side.old is None:
                return _score_many(side.shard, predictor, requests)
            return [self._score(side, predictor, request) for request in requests]

    def reasons(self, row: Row, unseen: Mapping[str, str]) -> list[Reason]:
        """Each column's part in the answer to a vector, by the models as they stand now.

        The part of a column is told by occlusion: the vector is scored once more without it.
        Columns that say the same share their effect, so the parts need not add up to the whole.

        Args:
            row: As it was scored.
            unseen: Its levels that were new then, by column.
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
                found.append(Reason(name, value, change))
        return found

    def keep(self, model: str | None) -> None:
        """Let this model answer, as if the one in use had just come into its shadow.

        Before anything scores here or follows.

        Raises:
            ModelError: It cannot be had.
        """
        for side in (self._sides.active, self._sides.idle):
            offline = None if model is None else self._load(model, side.shard)
            side.old = Kept(model, _before(side.shard, model, offline))

    def advance(self, pause: Callable[[], object]) -> bool:
        """Take the next message, if the flow has had one; by one thread at a time.

        Args:
            pause: May let other threads run; called between any two records, and before a record
                is applied to the second copy.

        Returns:
            Whether there was one.

        Raises:
            LogError: The log cannot be read.
            BusyError: A reader does not leave: this replica can follow no more.
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

    def _score(self, side: _Side, predictor: Predictor, request: Event) -> Score:
        shard, old = side.shard, side.old
        row = predictor.vector(request)
        model, serving = (shard.model, shard.serving) if old is None else old
        blend = predictor.blend(row, predictor.knowing(serving))
        if old is not None:
            self._score_beside(shard, predictor, row, blend)
        decision = blend.probability >= shard.threshold
        place = shard.position.offset, shard.event_time
        return Score(row, predictor.unseen(), blend, decision, model, *place)

    def _score_beside(self, shard: Shard, predictor: Predictor, row: Row, blend: Blend) -> None:
        """With the model in shadow."""
        try:
            new = predictor.blend(row, predictor.knowing(shard.serving))
        except Exception as error:  # noqa: BLE001 - what does not answer must not fail a request
            self._unfit = shard.model, f"model {shard.model} must score in shadow: {error!r}"
        else:
            self._differences.append(abs(new.probability - blend.probability))

    def _apply(self, messages: Sequence[Message], pause: Callable[[], object]) -> None:
        """Apply them to the idle copy, change places, and apply them to the other."""

        def change(side: _Side) -> None:
            for message in messages:
                side.shard.apply(message)
                pause()

        self._sides.write(change, pause)

    def warm_up(self) -> None:
        """Let no request and no event wait for a compiler."""
        mine = self._mine()
        with mine.reading as side:
            mine.predictor(side).warm_up(side.shard.serving)

    def _activate(self, message: Activation) -> None:
        """Let both sides have the model, or keep the one before where it cannot be had."""
        model, load = message.model, self._load
        if model == self._sides.active.shard.model:  # decided once more: a shadow goes on
            self._sides.write(lambda side: _keep(side.shard, message.number))
            return
        in_shadow = self._shadow and not self._follower.has_served(model, message.number)
        try:
            # Twice, for a model keeps to the level numbers of one shard.
            bound = [None if model is None else load(model, shard) for shard in self._shards()]
        except ModelError as error:
            self.trouble = str(error)
            self._sides.write(lambda side: _keep(side.shard, message.number))
            return
        self._differences.clear()
        models = iter(bound)

        def change(side: _Side) -> None:
            shard = side.shard
            if not in_shadow:
                side.old = None
            elif side.old is None:
                old = shard.model, shard.serving.newest
                shard.apply(message._replace(offline=next(models)))
                side.old = Kept(old[0], _before(shard, *old))
                return
            shard.apply(message._replace(offline=next(models)))

        self._sides.write(change)
        self.activated += 1

    def _measure(self) -> None:
        """Sum up what is in shadow; at its end let the new model answer."""
        if not self._sides.active.old or not self._differences or self.unfit is not None:
            return
        seen = list(self._differences)
        self.difference = Difference(len(seen), sum(seen) / len(seen), max(seen))
        if len(seen) >= self._shadow:
            self._sides.write(_end_shadow)

    def _shards(self) -> tuple[Shard, Shard]:
        return self._sides.idle.shard, self._sides.active.shard

    def _mine(self) -> _Mine:
        mine: _Mine | None = getattr(self._threads, "mine", None)
        if mine is None:
            mine = self._threads.mine = _Mine(self._sides.reading())
        return mine


def _check(shard: Shard, request: Event, clock: Clock) -> None:
    """Refuse what the flow would bury, if it came now."""
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
    return [
        Score(row, unseen, blend, blend.probability >= threshold, *place)
        for row, (unseen, blend) in zip(rows, found, strict=True)
    ]


def _keep(shard: Shard, number: int) -> None:
    shard.apply(Activation(number, shard.model, shard.serving.newest))


def _before(shard: Shard, model: str | None, offline: Offline | None) -> Serving:
    """A model as the one in use, corrected by the learners that it has by now."""
    if offline is None:
        return NOTHING
    return Serving(offline, slot=OLDER) if model == shard.older else Serving(offline)


def _end_shadow(side: _Side) -> None:
    side.old = None


def _told(value: float, levels: list[str] | None) -> float | str | None:
    if np.isnan(value):
        return None
    return float(value) if levels is None else levels[int(value)]
