"""`Rolling`: statistics over the last minutes or hours, for each key.

Its block is `[touched, grown, first, n, bucket, …]`: the n buckets that are not empty, in order of
time, from place `first` on, each `[bucket number, cell group]`. A new bucket replaces the one a
whole number of rings before it, as in a ring with a place for each bucket.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from state.counted import Counted
from state.durations import Duration
from state.events import Event
from state.field_types import TIME
from state.kinds.compiled import part, whole
from state.kinds.entries import HEAD, move, room, rooms
from state.kinds.keys import By, Keyed
from state.kinds.kind import Block, Column, Compiled, FieldUse, Scope, Step
from state.kinds.statistics import (
    Cells,
    Statistic,
    add,
    cells_of,
    put,
    statistic_bounds,
    statistic_uses,
    transform_of,
)
from state.restored import check
from state.stream_numbers import Bound

KIND = 0
_MOST_BUCKETS = 1_000_000
"""Most buckets of one key; each has a number of 8 bytes for each statistic."""
_HIGHEST = 2.0**53


@dataclass(frozen=True)
class Rolling(Keyed):
    """Statistics over the last minutes or hours, for each key.

    A window of length W at time t holds the bucket of t and those before it, W in all. The default
    bucket is a sixtieth of its window, or the next smaller part that divides it. A late event
    counts in its own bucket. Requests up to `Stream.lateness` late see their windows whole; a later
    one sees the part that newer buckets have not replaced. A key takes memory only for buckets with
    events.

    Args:
        over: Event type to count, `Labelled` for labels when they become known, or several types
            with
            weights: `{Opened: 1, Closed: -1}` counts the open ones.
        by: Fields that make the key, on the counted events and on the request; empty: one key for
            all. If the names differ, `{"request_field": "event_field"}`.
        windows: Lengths, such as `("1h", "3h")`.
        stats: Statistics of each window.
        at: Field of the counted events with the time at which they count.
        ahead: Time by which `at` may be after the event's time.
        bucket: Length of a bucket for all windows; default: each window has its own.
    """

    over: Counted | Mapping[Counted, float]
    by: By
    windows: tuple[str, ...]
    stats: tuple[Statistic, ...]
    at: str = "time"
    ahead: str = "0s"
    bucket: str | None = None

    @property
    def columns(self) -> tuple[Column, ...]:
        """Every statistic of every window."""
        return tuple(
            Column(f"{self.prefix}_{stat.name}_{window}", transform=transform_of(stat))
            for window in self.windows
            for stat in self.stats
        )

    @property
    def weights(self) -> Mapping[Counted, float]:
        """Weight of one event, by type."""
        return self.over if isinstance(self.over, Mapping) else {self.over: 1.0}

    @property
    def horizon_us(self) -> int:
        """The longest window."""
        return max(Duration.parse(window) for window in self.windows)

    def uses(self, request: type[Event]) -> Iterator[FieldUse]:
        """The key, the time field, and the readings."""
        yield from super().uses(request)
        for over in self.weights:
            yield FieldUse(over, self.at, TIME)
            yield from statistic_uses(self.stats, over)

    def durations(self) -> Iterator[str]:
        """The windows, `ahead`, and the bucket."""
        yield from (*self.windows, self.ahead, *([self.bucket] if self.bucket else []))

    def bounds(self, lateness_us: int) -> Iterator[Bound]:
        """The numbers of buckets, the weights, and the statistics' own numbers."""
        for window in self.windows:
            yield Bound("window in microseconds", int(Duration.parse(window)), 1)
        for bucket, windows in self._rings():
            yield Bound("bucket in microseconds", bucket, 1)
            held = max(windows) + Duration.parse(self.ahead) + lateness_us
            yield Bound("buckets of a key", held // max(bucket, 1), 0, _MOST_BUCKETS)
        for weight in self.weights.values():
            yield Bound("weight", weight)
        yield from statistic_bounds(self.stats)

    def limits(self) -> Iterator[tuple[Counted, str, int]]:
        """The time field of events, if it is not `time`."""
        if self.at != "time":
            for over in self.weights:
                yield over, self.at, Duration.parse(self.ahead)

    def wrong(self, scope: Scope) -> str:
        """Buckets must fill each window, beside what must hold of every key."""
        if not self.weights:
            return f"over must name an event type at least; got none in feature {self.title}"
        for bucket, windows in self._rings():
            for window in windows:
                if not window or window % bucket:
                    return (
                        f"window must be a multiple of its bucket {Duration(bucket)}; got "
                        f"{str(Duration(window))!r} in feature {self.title}"
                    )
        return super().wrong(scope)

    def compiled(self, scope: Scope) -> Compiled:
        """One block per key for each length of buckets."""
        return Compiled(blocks=tuple(self._block(scope, *ring) for ring in self._rings()))

    @property
    def bucket_once(self) -> str:
        """The bucket that its windows shared in old homes; empty: no difference."""
        windows = [Duration.parse(window) for window in self.windows]
        shared = Duration(max(min(windows) // 60, 1))
        return str(shared) if self.bucket is None and len({*windows}) > 1 else ""

    def _rings(self) -> list[tuple[int, list[int]]]:
        """Lengths of buckets (µs), each with its windows."""
        windows = list(dict.fromkeys(int(Duration.parse(window)) for window in self.windows))
        if self.bucket is not None:
            return [(int(Duration.parse(self.bucket)), windows)]
        return [(_part_of(window), [window]) for window in windows]

    def _block(self, scope: Scope, bucket: int, windows: Sequence[int]) -> Block:
        longest, slack = max(windows), Duration.parse(self.ahead) + scope.lateness_us
        ring = -(-(longest + slack) // bucket) + 1
        # Old streams with shared buckets show requests later than `lateness` the buckets that no
        # newer one has replaced, as before.
        later = scope.horizon_us if self.bucket or len(self.windows) == 1 else 0
        cells = cells_of(self.stats, self.weights)
        fixed = {"kind": KIND, "ring": ring, "bucket": bucket}
        keep = -(-(longest + slack + later) // bucket) + 2
        step = {**fixed, "n": cells.width, "sure": cells.sure, "keep": keep}
        steps = tuple(
            Step(over, self.event_key(over), self.at, cells.values(weight), step)
            for over, weight in self.weights.items()
        )
        width = 1 + cells.cells

        def check_buckets(pool: NDArray[Any], addresses: NDArray[Any]) -> None:
            odd = misplaced(pool, addresses, np.array(rooms(ring)), ring, width)
            check(odd < 0, f"buckets must be in their places, {ring} at most", odd)

        return Block(
            KIND,
            self.request_key,
            tuple(HEAD + most * width for most in rooms(ring)),
            longest + bucket,
            steps,
            {**fixed, "n": cells.cells},
            self._statistics(scope.place, bucket, windows, cells),
            check_buckets,
        )

    def _statistics(
        self, place: int, bucket: int, windows: Sequence[int], cells: Cells
    ) -> list[dict[str, float]]:
        """The statistics of these windows, those of the shortest first."""
        stats = [
            {
                "buckets": Duration.parse(window) // bucket,
                "column": place + w * len(self.stats) + s,
                **cells.fields(stat),
            }
            for w, window in enumerate(self.windows)
            if Duration.parse(window) in windows
            for s, stat in enumerate(self.stats)
        ]
        return sorted(stats, key=lambda stat: (stat["buckets"], stat["column"]))


def _part_of(window: int) -> int:
    """A sixtieth of a window, or the next smaller part that divides it."""
    return next((window // n for n in range(60, 121) if window % n == 0), max(window // 60, 1))


@part
def is_full(pool: Any, step: Any, address: int, time: int) -> Any:
    """Whether the block must grow before the event can have a bucket."""
    n, number = int(pool[address + 3]), time // step.bucket
    if n < room(step.ring, int(pool[address + 1])) or n >= step.ring:
        return False
    width = 1 + step.n + (step.n - step.sure)
    first = address + HEAD + int(pool[address + 2]) * width
    newest = pool[first + (n - 1) * width]
    return newest != number and pool[first] >= max(newest, number) - step.keep


@part
def observe(pool: Any, step: Any, address: int, time: int, values: Any) -> None:
    """Add the event to its bucket, unless a newer bucket has replaced it."""
    number = time // step.bucket
    width = 1 + step.n + (step.n - step.sure)
    base, first, n = address + HEAD, int(pool[address + 2]), int(pool[address + 3])
    cell = base + (first + n - 1) * width
    if n == 0 or pool[cell] < number:
        cell = _new_bucket(pool, step, address, number, width, first + n)
    elif pool[cell] > number:
        place = _place(pool, base, first, first + n, width, number)
        cell = base + (place - 1) * width
        if place == first or pool[cell] != number:
            cell = _new_bucket(pool, step, address, number, width, place)
    if cell >= 0:
        add(pool, cell + 1, step, values)


@part
def _new_bucket(pool: Any, step: Any, address: int, number: int, width: int, place: int) -> int:
    """The cell of a new bucket at this place among the others; -1 if it must not be added."""
    base, first, n = address + HEAD, int(pool[address + 2]), int(pool[address + 3])
    end = first + n
    newest = pool[base + (end - 1) * width] if n else 0.0
    oldest = max(newest, number) - step.keep
    if number < oldest:
        return -1
    while first < end and pool[base + first * width] < oldest:
        first += 1
    place = max(place, first)
    taken = _taken(pool, base, first, end, width, number, step.ring)
    if taken >= place:
        return -1
    if taken >= 0:
        move(pool, base, first, first + 1, taken - first, width)
        first += 1
    most = room(step.ring, int(pool[address + 1]))
    if end - first == most:
        first += 1
    if end == most:
        move(pool, base, first, 0, end - first, width)
        place, end, first = place - first, end - first, 0
    place = max(place, first)
    move(pool, base, place, place + 1, end - place, width)
    pool[address + 2], pool[address + 3] = first, end + 1 - first
    cell = base + place * width
    pool[cell] = number
    for i in range(1, width):
        pool[cell + i] = 0.0
    return cell


@part
def _place(pool: Any, base: int, first: int, end: int, width: int, number: int) -> int:
    """The place after the buckets from `first` to `end` with this number or a lower one."""
    while first < end:
        middle = (first + end) // 2
        if pool[base + middle * width] <= number:
            first = middle + 1
        else:
            end = middle
    return first


@part
def _taken(pool: Any, base: int, first: int, end: int, width: int, number: int, ring: int) -> int:
    """The place of a bucket a whole number of rings away; -1: there is none."""
    for place in range(end - 1, first - 1, -1):
        away = int(pool[base + place * width]) - number
        if away < ring:
            break
        if away % ring == 0:
            return place
    if first < end and number - int(pool[base + first * width]) >= ring:
        away = number - int(pool[base + first * width])
        taken = number - away // ring * ring
        for place in range(first, end):
            held = int(pool[base + place * width])
            while taken < held:
                taken += ring
            if taken >= number:
                break
            if taken == held:
                return place
    return -1


@part
def read(pool: Any, block: Any, address: int, stats: Any, now: int, sums: Any, row: Any) -> None:
    """Write the statistics of every window, those of the shortest first."""
    sums[: block.n] = 0.0
    number = now // block.bucket
    width = 1 + block.n
    before, cell = -1, -2
    if address >= 0:
        base, first, n = address + HEAD, int(pool[address + 2]), int(pool[address + 3])
        before, cell = base + (first - 1) * width, base + (first + n - 1) * width
        if n and pool[cell] > number:
            cell = base + (_place(pool, base, first, first + n, width, number) - 1) * width
    for s in range(block.stats, block.stats_end):
        stat = stats[s]
        oldest = number - stat.buckets
        while cell > before and pool[cell] > oldest:
            for i in range(block.n):
                sums[i] += pool[cell + 1 + i]
            cell -= width
        put(stat, sums, row)


@whole
def misplaced(pool: Any, addresses: Any, rooms: Any, ring: int, width: int) -> int:
    """Index of the first block whose buckets are out of order or too many.

    Args:
        pool: All blocks.
        addresses: Addresses of the blocks; their sizes are valid.
        rooms: Capacities of a block, by number of growths.
        ring: Most buckets of a block.
        width: Number of cells in a bucket.

    Returns:
        Index among the addresses; -1: all blocks are valid.
    """
    for k in range(len(addresses)):
        address = addresses[k]
        most = rooms[int(pool[address + 1])]
        first, n = pool[address + 2], pool[address + 3]
        if not (0.0 <= first <= most and 0.0 <= n <= ring and first + n <= most):
            return k
        if first != np.floor(first) or n != np.floor(n):
            return k
        before = -1.0
        for place in range(int(first), int(first + n)):
            number = pool[address + HEAD + place * width]
            if not before < number < _HIGHEST or number != np.floor(number):
                return k
            before = number
    return -1
