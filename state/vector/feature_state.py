"""The feature vector: a stream's declarations compiled once to closures and kernels.

Observing changes state; reading never does. What is forgotten reads as if it had never been.
"""

from collections.abc import Callable, Sequence
from operator import attrgetter
from reprlib import repr as shortened
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from state.durations import Duration
from state.events import MINUTE_US, Event
from state.features import (
    Bins,
    Calendar,
    Category,
    Count,
    Counted,
    Custom,
    Elapsed,
    Ewma,
    Feature,
    Field,
    Hook,
    Labelled,
    Last,
    Mean,
    Rate,
    Rolling,
    Statistic,
    Sum,
    columns_of,
)
from state.field_types import TEXT, declared, nullable
from state.restored import check
from state.stream import Stream, StreamError
from state.vector import kernels
from state.vector.arena import Arena, Directory
from state.vector.calendar import calendar_readings
from state.vector.keys import reading
from state.vector.levels import Levels
from state.vector.observer import Observe, Step, observer
from state.vector.reader import Block, Cut, Given, Number, Read, reader


class FeatureState:
    """All feature state of one shard.

    Args:
        stream: Whose features.

    Attributes:
        levels: The numbers that stand for the levels of each categorical column.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._arena = Arena()
        self._directories: dict[tuple[str, ...], Directory] = {}
        self._hooks: list[tuple[Hook, int]] = []
        self._steps: list[Step] = []
        self._blocks: list[Block] = []
        self._given: list[Given] = []
        self._bins: list[Cut] = []
        self._fixed: dict[int, tuple[str, ...]] = {}
        self.levels: dict[int, Levels] = {
            i: Levels() for i, column in enumerate(stream.columns) if column.categorical
        }
        place = 0
        for feature in stream.features:
            self._declare(feature, place)
            place += len(columns_of(feature))
        self._observers = {over: self._observer(over) for over in (*stream.events, Labelled)}
        self.read = self._reader(lambda levels: levels.number)

    def observe(self, event: Event | Labelled) -> None:
        """Take one accepted event, or one label, into every feature that counts it."""
        self._observers[type(event)](event)

    def reader(self, unseen: list[tuple[Levels, str]]) -> Read:
        """A `read` that changes nothing, not even the levels; one for each thread.

        A level never seen before reads as the number that `read` would give it.

        Args:
            unseen: Takes such levels, by name; whoever reads empties it.
        """
        return self._reader(lambda levels: levels.peeking(unseen))

    def forget(self, now: int) -> None:
        """Free what no feature can see any more at event time `now` (µs)."""
        self._arena.forget(now)
        for hook, age in self._hooks:
            hook.forget(now - age)

    @property
    def turn_us(self) -> int:
        """How often `forget_in_turn` has something to do (µs of event time)."""
        return self._arena.turn_us

    def forget_in_turn(self, since: int, until: int, now: int) -> None:
        """Free what no feature with many keys can see any more, the short-lived more often.

        No value depends on when that is done.

        Args:
            since: Event time (µs) up to which it was done.
            until: Event time (µs).
            now: As for `forget`.
        """
        self._arena.forget_in_turn(since, until, now)

    def snapshot(self) -> bytes:
        """The whole state."""
        return msgspec.msgpack.encode(
            (
                self._arena.snapshot(),
                [levels.names for levels in self.levels.values()],
                [hook.snapshot() for hook, _ in self._hooks],
            )
        )

    def restore(self, state: bytes) -> None:
        """Take the state from `snapshot` of the same stream.

        Raises:
            ValueError: A part is not what a kernel can follow, or a hook does not take its own.
            msgspec.DecodeError: It is of another form.
        """
        arena, names, hooks = msgspec.msgpack.decode(
            state, type=tuple[bytes, list[list[str]], list[bytes]]
        )
        self._arena.restore(arena)
        for block in self._blocks:
            if block.fixed["kind"] == kernels.ROLLING:
                self._check_rings(block)
        for (place, levels), known in zip(self.levels.items(), names, strict=True):
            levels.restore(known)
            fixed = self._fixed.get(place, tuple(known))
            check(fixed == tuple(known), f"levels of column {place} must be {fixed}", known)
        for (hook, _), part in zip(self._hooks, hooks, strict=True):
            try:
                hook.restore(part)
            except Exception as error:  # it is the user's, and may raise anything
                msg = f"hook {type(hook).__name__} must take its state; got {error!r}"
                raise ValueError(msg) from error

    def _check_rings(self, block: Block) -> None:
        ring, width = int(block.fixed["ring"]), 1 + int(block.fixed["n"])
        addresses = block.table.addresses()
        odd = kernels.misplaced(self._arena.pool, addresses, ring, width)
        check(odd < 0, f"buckets must be in their places in the ring of {ring}", odd)

    def _declare(self, feature: Feature, place: int) -> None:
        match feature:
            case Field(name):
                self._given.append(Given(place, reading(name)))
            case Category(name):
                level = _level_of(self._stream.request, name)
                self._given.append(Given(place, level, (self.levels[place],)))
            case Elapsed(since=since, until=until):
                self._given.append(Given(place, _minutes_between(since, until)))
            case Calendar(of, tz, parts):
                readings = calendar_readings(parts, of, ZoneInfo(tz))
                levels = tuple(self.levels.get(place + i) for i in range(len(parts)))
                self._given.append(Given(place, readings, levels, several=True))
            case Rolling():
                self._declare_rolling(feature, place)
            case Ewma():
                self._declare_ewma(feature, place)
            case Last():
                self._declare_last(feature, place)
            case Bins(of=of, edges=edges):
                self.levels[place].restore(list(feature.levels))
                self._fixed[place] = feature.levels
                names = [column.name for column in self._stream.columns]
                self._bins.append(Cut(place, names.index(of), edges))
            case Custom(make, forget):
                hook = make()
                self._hooks.append((hook, Duration.parse(forget)))
                self._given.append(Given(place, _values_of(hook), several=True))

    def _directory(self, by: tuple[str, ...]) -> Directory:
        if by not in self._directories:
            self._directories[by] = self._arena.directory()
        return self._directories[by]

    def _declare_rolling(self, feature: Rolling, place: int) -> None:
        windows = [int(Duration.parse(window)) for window in feature.windows]
        bucket = feature.bucket_us
        slack = Duration.parse(feature.ahead) + Duration.parse(self._stream.lateness)
        ring = -(-(max(windows) + slack) // bucket) + 1
        measures = _measures(feature)
        width = 1 + len(measures)
        sure = width - sum(_is_counted(stat, feature) for stat in measures)
        cells = 2 * width - sure
        directory = self._directory(feature.by)
        table = self._arena.table(1 + ring * (1 + cells), max(windows) + bucket, directory)
        fixed = {"kind": kernels.ROLLING, "ring": ring, "bucket": bucket}
        step = {**fixed, "n": width, "sure": sure}
        for over, weight in feature.weights.items():
            values = ((None, weight), *((stat.of, weight) for stat in measures))
            self._steps.append(Step(over, table, feature.by, feature.at, values, step))
        stats = [
            {
                "buckets": window // bucket,
                "column": place + w * len(feature.stats) + s,
                **_statistic(stat, measures, sure),
            }
            for w, window in enumerate(windows)
            for s, stat in enumerate(feature.stats)
        ]
        stats.sort(key=lambda stat: (stat["buckets"], stat["column"]))
        read = {**fixed, "n": cells}
        self._blocks.append(Block(table, feature.by, read, stats))

    def _declare_ewma(self, feature: Ewma, place: int) -> None:
        age, by = Duration.parse(feature.forget), feature.by
        table = self._arena.table(2, age, self._directory(by))
        fixed = {"kind": kernels.EWMA, "prior": feature.prior}
        step = {**fixed, "bucket": age, "n": 1, "rate": feature.rate}
        self._steps.append(Step(feature.over, table, by, "time", ((feature.of, 1.0),), step))
        self._blocks.append(Block(table, by, {**fixed, "column": place, "forget": age}, []))

    def _declare_last(self, feature: Last, place: int) -> None:
        age, by = Duration.parse(feature.expires), feature.by
        n = len(feature.values)
        table = self._arena.table(1 + n, age, self._directory(by))
        fixed = {"kind": kernels.LAST, "n": n}
        values = tuple((name, 1.0) for name in feature.values)
        self._steps.append(Step(feature.over, table, by, "time", values, fixed))
        self._blocks.append(Block(table, by, {**fixed, "column": place, "forget": age}, []))

    def _observer(self, over: Counted) -> Observe:
        steps = [step for step in self._steps if step.over is over]
        hooks = [hook.observe for hook, _ in self._hooks if over in hook.observes]
        return observer(self._arena, steps, hooks)

    def _reader(self, number: Number) -> Read:
        return reader(self._arena, self._blocks, self._given, self._bins, number)


def _level_of(request: type[Event], name: str) -> Callable[[Any], str | None]:
    """The level of a category in a request: its text, or the digits of its whole number."""
    get: Callable[[Any], Any] = attrgetter(name)
    if all(map(TEXT.takes, declared(request)[name])):
        return get
    return lambda event: None if (value := get(event)) is None else str(value)


def _minutes_between(since: str, until: str) -> Callable[[Any], float]:
    start, end = attrgetter(since), attrgetter(until)
    return lambda event: (end(event) - start(event)) / MINUTE_US


def _measures(feature: Rolling) -> list[Sum | Mean | Rate]:
    """The statistics that add up readings; those whose readings are counted come last."""
    measures = [stat for stat in feature.stats if not isinstance(stat, Count)]
    return sorted(measures, key=lambda stat: _is_counted(stat, feature))


def _is_counted(stat: Sum | Mean | Rate, feature: Rolling) -> bool:
    """Whether a statistic divides by a number of readings that may be less than that of events."""
    if isinstance(stat, Sum):
        return False
    if isinstance(stat.of, str):
        return any(nullable(over, stat.of) for over in feature.weights)
    # To count the readings of a function takes room in every bucket: a truth is never missing.
    return getattr(stat.of, "__annotations__", {}).get("return") not in {bool, "bool"}


def _statistic(stat: Statistic, measures: Sequence[Statistic], sure: int) -> dict[str, float]:
    """Which cells of a bucket a statistic is made of, and how."""
    if isinstance(stat, Count):
        return {"kind": kernels.SUM, "measure": 0}
    measure = 1 + measures.index(stat)
    if isinstance(stat, Sum):
        return {"kind": kernels.SUM, "measure": measure}
    return {
        "kind": kernels.MEAN,
        "measure": measure,
        "weight": 0 if measure < sure else 1 + len(measures) + measure - sure,
        "prior": stat.prior,
        "strength": stat.strength,
    }


def _values_of(hook: Hook) -> Callable[[Any], Sequence[float]]:
    """The values of a hook: of one less, a column would keep what another request left there."""
    values_of, columns = hook.values, hook.columns

    def values(request: Any) -> Sequence[float]:
        found = values_of(request)
        if len(found) != len(columns):
            msg = (
                f"hook {type(hook).__name__} must give a value for each of its columns, "
                f"{', '.join(columns)}; got {shortened(found)}"
            )
            raise StreamError(msg)
        return found

    return values
