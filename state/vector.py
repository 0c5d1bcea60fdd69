"""The feature vector: a stream's declarations compiled once to closures and kernels.

Observing changes state; reading never does. What is forgotten reads as if it had never been.
"""

from bisect import bisect_right
from collections.abc import Callable, Hashable, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from numpy.typing import NDArray

from state import feature_kernels as kernels
from state.arena import NOWHERE, Arena, Table
from state.calendar import calendar_reading
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
    Reading,
    Rolling,
    Statistic,
    Sum,
    columns_of,
)
from state.field_kinds import nullable
from state.levels import Levels
from state.stream import Stream

Observe = Callable[[Any], None]


class _Step(NamedTuple):
    """One block that an event type changes."""

    over: Counted
    table: Table
    key: Callable[[Any], Hashable]
    time: Callable[[Any], float]
    values: tuple[Callable[[Any], float], ...]
    fixed: Mapping[str, float]


class _Block(NamedTuple):
    """One block that the vector reads."""

    table: Table
    key: Callable[[Any], Hashable]
    fixed: Mapping[str, float]
    stats: Sequence[Mapping[str, float]]


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
        self._hooks: list[tuple[Hook, int]] = []
        self._steps: list[_Step] = []
        self._blocks: list[_Block] = []
        self._scalars: list[tuple[int, Callable[[Any], float]]] = []
        self._bins: list[tuple[int, int, tuple[float, ...]]] = []
        self.levels: dict[int, Levels] = {
            i: Levels() for i, column in enumerate(stream.columns) if column.categorical
        }
        place = 0
        for feature in stream.features:
            self._declare(feature, place)
            place += len(columns_of(feature))
        self._observers = {over: self._observer(over) for over in (*stream.events, Labelled)}
        self.read = self._reader(place)

    def observe(self, event: Event | Labelled) -> None:
        """Take one accepted event, or one label, into every feature that counts it."""
        self._observers[type(event)](event)

    def forget(self, now: int) -> None:
        """Free what no feature can see any more at event time `now` (µs)."""
        self._arena.forget(now)
        for hook, age in self._hooks:
            hook.forget(now - age)

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
        """Take the state from `snapshot` of the same stream."""
        arena, names, hooks = msgspec.msgpack.decode(
            state, type=tuple[bytes, list[list[str]], list[bytes]]
        )
        self._arena.restore(arena)
        for levels, known in zip(self.levels.values(), names, strict=True):
            levels.restore(known)
        for (hook, _), part in zip(self._hooks, hooks, strict=True):
            hook.restore(part)

    def _declare(self, feature: Feature, place: int) -> None:
        match feature:
            case Field(name):
                self._scalars.append((place, _reading(name)))
            case Category(name):
                self._scalars.append((place, _level_of(self.levels[place], attrgetter(name))))
            case Elapsed(since=since, until=until):
                self._scalars.append((place, _minutes_between(since, until)))
            case Calendar(of, tz, parts):
                for i, part in enumerate(parts, place):
                    reading = calendar_reading(part, of, ZoneInfo(tz))
                    if i in self.levels:
                        reading = _level_of(self.levels[i], reading)
                    self._scalars.append((i, reading))
            case Rolling():
                self._declare_rolling(feature, place)
            case Ewma():
                self._declare_ewma(feature, place)
            case Last():
                self._declare_last(feature, place)
            case Bins(of=of, edges=edges):
                self.levels[place].restore(list(feature.levels))
                names = [column.name for column in self._stream.columns]
                self._bins.append((place, names.index(of), edges))
            case Custom(make, forget):
                hook = make()
                self._hooks.append((hook, Duration.parse(forget)))

    def _declare_rolling(self, feature: Rolling, place: int) -> None:
        windows = [int(Duration.parse(window)) for window in feature.windows]
        bucket = feature.bucket_us
        slack = Duration.parse(feature.ahead) + Duration.parse(self._stream.lateness)
        ring = -(-(max(windows) + slack) // bucket) + 1
        measures = _measures(feature)
        width = 1 + len(measures)
        sure = width - sum(_is_counted(stat, feature) for stat in measures)
        cells = 2 * width - sure
        table = self._arena.table(1 + ring * (1 + cells), max(windows) + bucket)
        fixed = {"kind": kernels.ROLLING, "ring": ring, "bucket": bucket}
        step = {**fixed, "n": width, "sure": sure}
        for over, weight in feature.weights.items():
            readings = (_constant(weight), *(_weighted(stat.of, weight) for stat in measures))
            key = _key_on(over, feature.by)
            self._steps.append(_Step(over, table, key, attrgetter(feature.at), readings, step))
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
        self._blocks.append(_Block(table, _key(feature.by), read, stats))

    def _declare_ewma(self, feature: Ewma, place: int) -> None:
        age = Duration.parse(feature.forget)
        table = self._arena.table(2, age)
        fixed = {"kind": kernels.EWMA, "prior": feature.prior}
        step = {**fixed, "bucket": age, "n": 1, "rate": feature.rate}
        key = _key_on(feature.over, feature.by)
        self._steps.append(
            _Step(feature.over, table, key, _event_time, (_reading(feature.of),), step)
        )
        self._blocks.append(
            _Block(table, _key(feature.by), {**fixed, "column": place, "forget": age}, [])
        )

    def _declare_last(self, feature: Last, place: int) -> None:
        age = Duration.parse(feature.expires)
        n = len(feature.values)
        table = self._arena.table(1 + n, age)
        fixed = {"kind": kernels.LAST, "n": n}
        key = _key(feature.by)
        values = tuple(_reading(name) for name in feature.values)
        self._steps.append(_Step(feature.over, table, key, _event_time, values, fixed))
        self._blocks.append(_Block(table, key, {**fixed, "column": place, "forget": age}, []))

    def _observer(self, over: Counted) -> Observe:
        """The compiled observation of one event type."""
        steps = [step for step in self._steps if step.over is over]
        hooks = [hook.observe for hook, _ in self._hooks if over in hook.observes]
        if not steps and not hooks:
            return _ignore
        table = np.zeros(len(steps), kernels.UPDATE)
        readings: list[tuple[int, Callable[[Any], float]]] = []
        for row, step in zip(table, steps, strict=True):
            row["values"] = len(readings)
            for name, value in step.fixed.items():
                row[name] = value
            readings += enumerate(step.values, len(readings))
        addresses = np.zeros(len(steps), np.int64)
        times = np.zeros(len(steps), np.int64)
        values = np.zeros(len(readings))
        put_address, put_time, put_value = _writer(addresses), _writer(times), _writer(values)
        lookups = [(i, s.table.blocks, s.table.add, s.key, s.time) for i, s in enumerate(steps)]
        arena, kernel = self._arena, kernels.observe

        def observe(seen: Any) -> None:
            for i, blocks, add, key_of, time_of in lookups:
                key = key_of(seen)
                address = blocks.get(key)
                put_address[i] = add(key) if address is None else address
                put_time[i] = time_of(seen)
            for i, value_of in readings:
                put_value[i] = value_of(seen)
            kernel(arena.pool, table, addresses, times, values)
            for hook in hooks:
                hook(seen)

        return observe

    def _reader(self, width: int) -> Callable[[Any, NDArray[np.float64]], None]:
        """The compiled reading of the vector."""
        table = np.zeros(len(self._blocks), kernels.READ)
        stat_rows: list[Mapping[str, float]] = []
        for row, block in zip(table, self._blocks, strict=True):
            row["stats"] = len(stat_rows)
            stat_rows += block.stats
            row["stats_end"] = len(stat_rows)
            for name, value in block.fixed.items():
                row[name] = value
        stats = np.zeros(len(stat_rows), kernels.STAT)
        for row, fixed in zip(stats, stat_rows, strict=True):
            for name, value in fixed.items():
                row[name] = value
        addresses = np.zeros(len(table), np.int64)
        put_address = _writer(addresses)
        sums = np.zeros(1 + max((int(row["n"]) for row in table), default=0))
        lookups = [(i, b.table.blocks, b.key) for i, b in enumerate(self._blocks)]
        scalars, hooks, bins = self._scalars, self._hook_places(), self._bins
        arena, kernel = self._arena, kernels.read

        def read(request: Any, row: NDArray[np.float64]) -> None:
            """Write the vector of `request` into `row` (float64, one place a column)."""
            for i, blocks, key_of in lookups:
                put_address[i] = blocks.get(key_of(request), NOWHERE)
            kernel(arena.pool, table, addresses, stats, request.time, sums, row)
            put = _writer(row)
            for i, value_of in scalars:
                put[i] = value_of(request)
            for first, hook in hooks:
                for i, value in enumerate(hook.values(request), first):
                    put[i] = value
            for i, of, edges in bins:
                value = put[of]
                put[i] = 1.0 + bisect_right(edges, value) if value == value else 0.0  # noqa: PLR0124

        assert width == len(self._stream.columns)
        return read

    def _hook_places(self) -> list[tuple[int, Hook]]:
        places: list[tuple[int, Hook]] = []
        hooks = iter(self._hooks)
        place = 0
        for feature in self._stream.features:
            if isinstance(feature, Custom):
                places.append((place, next(hooks)[0]))
            place += len(columns_of(feature))
        return places


# Storing one number through a memoryview takes half the time that the array itself takes.
_writer: Callable[[Any], Any] = memoryview
_event_time: Callable[[Any], float] = attrgetter("time")


def _ignore(seen: Any) -> None:
    del seen


def _key(by: Sequence[str]) -> Callable[[Any], Hashable]:
    return attrgetter(*by) if by else lambda _: ()


def _key_on(over: Counted, by: Sequence[str]) -> Callable[[Any], Hashable]:
    return _key([f"request.{name}" for name in by] if over is Labelled else by)


def _reading(of: Reading) -> Callable[[Any], float]:
    """A reading as a function; null reads as missing."""
    if not isinstance(of, str):
        return of
    get = attrgetter(of)

    def read(event: Any) -> float:
        value = get(event)
        return np.nan if value is None else value

    return read


def _weighted(of: Reading, weight: float) -> Callable[[Any], float]:
    read = _reading(of)
    return read if weight == 1.0 else lambda event: weight * read(event)


def _constant(value: float) -> Callable[[Any], float]:
    return lambda _: value


def _minutes_between(since: str, until: str) -> Callable[[Any], float]:
    start, end = attrgetter(since), attrgetter(until)
    return lambda event: (end(event) - start(event)) / MINUTE_US


def _level_of(levels: Levels, get: Callable[[Any], Any]) -> Callable[[Any], float]:
    number = levels.number
    return lambda event: number(get(event))


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
