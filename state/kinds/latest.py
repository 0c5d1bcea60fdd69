"""`Latest`: statistics over the last n events of a key.

Its block is `[touched, grown, first, n, cell group, …]`: one group per event, the newest last.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from state.counted import Counted
from state.durations import Duration
from state.events import Event
from state.kinds.compiled import part
from state.kinds.entries import HEAD, move, room, rooms
from state.kinds.keys import By, Keyed
from state.kinds.kind import Block, Column, Compiled, FieldUse, Scope, Step
from state.kinds.statistics import (
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

KIND = 5


@dataclass(frozen=True)
class Latest(Keyed):
    """Statistics over the last events of a key, in order of arrival.

    Args:
        over: Event type to count, or `Labelled` for labels when they become known.
        by: Fields that make the key; if event and request name them differently, as in
            `{"request_field": "event_field"}`.
        events: Numbers of events, such as `(5, 50)`; the columns end in `last5` and `last50`.
        stats: Statistics to compute.
        forget: Age of a key's newest event at which all its events are forgotten.
    """

    over: Counted
    by: By
    events: tuple[int, ...]
    stats: tuple[Statistic, ...]
    forget: str = "7d"

    @property
    def columns(self) -> tuple[Column, ...]:
        """Every statistic for every number of events."""
        return tuple(
            Column(f"{self.prefix}_{stat.name}_last{n}", transform=transform_of(stat))
            for n in self.events
            for stat in self.stats
        )

    def uses(self, request: type[Event]) -> Iterator[FieldUse]:
        """The key and the readings."""
        yield from super().uses(request)
        yield from statistic_uses(self.stats, self.over)

    def durations(self) -> Iterator[str]:
        """The age."""
        yield self.forget

    def bounds(self, lateness_us: int) -> Iterator[Bound]:
        """The numbers of events, and the statistics' own numbers."""
        for n in self.events:
            yield Bound("events", n, 1, 100_000)
        yield from statistic_bounds(self.stats)

    def compiled(self, scope: Scope) -> Compiled:
        """The last events of a key, up to the largest number."""
        age, most = Duration.parse(self.forget), max(self.events)
        cells = cells_of(self.stats, [self.over])
        fixed = {"ring": most, "n": cells.width, "sure": cells.sure}
        step = Step(
            self.over,
            self.event_key(self.over),
            "time",
            cells.values(1.0),
            {"kind": KIND, **fixed},
        )
        stats = [
            {"buckets": n, "column": scope.place + i * len(self.stats) + s, **cells.fields(stat)}
            for i, n in enumerate(self.events)
            for s, stat in enumerate(self.stats)
        ]
        stats.sort(key=lambda stat: (stat["buckets"], stat["column"]))

        def check_events(pool: NDArray[Any], addresses: NDArray[Any]) -> None:
            first, n = pool[addresses + 2], pool[addresses + 3]
            held = np.array(rooms(most))[pool[addresses + 1].astype(np.int64)]
            fits = (first >= 0) & (n >= 0) & (n <= most) & (first + n <= held)
            fits &= (first == np.floor(first)) & (n == np.floor(n))
            check(fits.all(), f"events of a key must be at most {most}", n[~fits].tolist())

        sizes = tuple(HEAD + most * cells.cells for most in rooms(most))
        read = {"n": cells.cells, "forget": age}
        block = Block(KIND, self.request_key, sizes, age, (step,), read, stats, check_events)
        return Compiled(blocks=(block,))


@part
def is_full(pool: Any, step: Any, address: int) -> Any:
    """Whether the block must grow before the event can have a place."""
    n = int(pool[address + 3])
    return n < step.ring and n == room(step.ring, int(pool[address + 1]))


@part
def observe(pool: Any, step: Any, address: int, values: Any) -> None:
    """Append the event, and drop the oldest one if there are too many."""
    width = step.n + (step.n - step.sure)
    base, first, n = address + HEAD, int(pool[address + 2]), int(pool[address + 3])
    if n == step.ring:
        first, n = first + 1, n - 1
    if first + n == room(step.ring, int(pool[address + 1])):
        move(pool, base, first, 0, n, width)
        first = 0
    cell = base + (first + n) * width
    for i in range(width):
        pool[cell + i] = 0.0
    add(pool, cell, step, values)
    pool[address + 2], pool[address + 3] = first, n + 1


@part
def read(pool: Any, block: Any, address: int, stats: Any, now: int, sums: Any, row: Any) -> None:
    """Write the statistics, those of the fewest events first."""
    sums[: block.n] = 0.0
    n = cell = 0
    if address >= 0 and now - pool[address] <= block.forget:
        n = int(pool[address + 3])
        cell = address + HEAD + (int(pool[address + 2]) + n - 1) * block.n
    taken = 0
    for s in range(block.stats, block.stats_end):
        stat = stats[s]
        while taken < n and taken < stat.buckets:
            for i in range(block.n):
                sums[i] += pool[cell + i]
            cell -= block.n
            taken += 1
        put(stat, sums, row)
