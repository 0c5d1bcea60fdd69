"""`Distinct`: number of different recent values of a field, for each key.

Its block is `[touched, grown, first, n, entry, …]` with `first` always 0, and an entry for each
value: `[value as a number, time it was last seen]`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from state.counted import Counted
from state.durations import Duration
from state.events import Event
from state.field_types import VALUE
from state.kinds.compiled import part
from state.kinds.entries import HEAD, room, rooms
from state.kinds.keys import By, Keyed
from state.kinds.kind import Block, Column, Compiled, FieldUse, Scope, Step
from state.restored import check
from state.stream_numbers import Bound

KIND = 3
_WIDTH = 2


@dataclass(frozen=True)
class Distinct(Keyed):
    """Number of different values of a field, per key, over the last minutes or hours.

    A value counts while its newest event is within the window, to the microsecond. A late request
    also counts later values. A null is not counted. Beyond `most` values of a key, the one not seen
    for longest is dropped, so no count is higher than `most`.

    Args:
        name: Part of the column names, between key and window.
        over: Event type with the field, or `Labelled`.
        by: Fields that make the key; if event and request name them differently, as in
            `{"request_field": "event_field"}`.
        of: The field, a text or a number, or a function of the event.
        windows: Lengths, such as `("1h", "24h")`.
        most: Most values of a key that are told apart; each takes 16 bytes.
    """

    name: str
    over: Counted
    by: By
    of: str | Callable[[Any], str | float | None]
    windows: tuple[str, ...]
    most: int = 1000

    @property
    def columns(self) -> tuple[Column, ...]:
        """A count for each window."""
        names = [f"{self.prefix}_{self.name}_{window}" for window in self.windows]
        return tuple(Column(name, transform="log1p") for name in names)

    @property
    def horizon_us(self) -> int:
        """The longest window."""
        return max(Duration.parse(window) for window in self.windows)

    def uses(self, request: type[Event]) -> Iterator[FieldUse]:
        """The key and the field."""
        yield from super().uses(request)
        if isinstance(self.of, str):
            yield FieldUse(self.over, self.of, VALUE)

    def durations(self) -> Iterator[str]:
        """The windows."""
        yield from self.windows

    def bounds(self, lateness_us: int) -> Iterator[Bound]:
        """The number of values."""
        yield Bound("most", self.most, 1, 100_000)
        for window in self.windows:
            yield Bound("window in microseconds", int(Duration.parse(window)), 1)

    def compiled(self, scope: Scope) -> Compiled:
        """The values of a key, each with the time it was last seen."""
        kept = self.horizon_us + scope.lateness_us
        step = Step(
            self.over,
            self.event_key(self.over),
            "time",
            ((_numbered(self.of), 1.0),),
            {"kind": KIND, "ring": self.most, "keep": kept},
        )
        windows = [Duration.parse(window) for window in self.windows]
        stats = [{"buckets": w, "column": scope.place + i} for i, w in enumerate(windows)]

        def check_values(pool: NDArray[Any], addresses: NDArray[Any]) -> None:
            n, room_of = pool[addresses + 3], np.array(rooms(self.most))
            held = room_of[pool[addresses + 1].astype(np.int64)]
            fits = (n >= 0) & (n <= np.minimum(held, self.most)) & (n == np.floor(n))
            check(fits.all(), f"values of a key must be at most {self.most}", n[~fits].tolist())

        sizes = tuple(HEAD + most * _WIDTH for most in rooms(self.most))
        block = Block(KIND, self.request_key, sizes, kept, (step,), {}, stats, check_values)
        return Compiled(blocks=(block,))


def _numbered(of: str | Callable[[Any], Any]) -> Callable[[Any], float]:
    """The value of an event as a number: texts by a hash of 64 bits, of which 52 are kept."""
    value_of = attrgetter(of) if isinstance(of, str) else of

    def number(event: Any) -> float:
        value = value_of(event)
        if value is None:
            return np.nan
        return _number_of(value) if isinstance(value, str) else float(value)

    return number


@lru_cache(maxsize=2**16)
def _number_of(text: str) -> float:
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return -1.0 - (int.from_bytes(digest, "big") >> 12)


@part
def is_full(pool: Any, step: Any, address: int, time: int, values: Any) -> Any:
    """Whether the block must grow before the value can have an entry."""
    n, value = int(pool[address + 3]), values[step.values]
    if n < room(step.ring, int(pool[address + 1])) or n >= step.ring or np.isnan(value):
        return False
    oldest = max(pool[address], time) - step.keep
    for cell in range(address + HEAD, address + HEAD + n * _WIDTH, _WIDTH):
        if pool[cell] == value or pool[cell + 1] < oldest:
            return False
    return True


@part
def observe(pool: Any, step: Any, address: int, time: int, values: Any) -> None:
    """Note the time at which a value was seen; a new value may replace an expired one."""
    n, value = int(pool[address + 3]), values[step.values]
    if np.isnan(value):
        return
    end = address + HEAD + n * _WIDTH
    oldest = address + HEAD
    for cell in range(address + HEAD, end, _WIDTH):
        if pool[cell] == value:
            pool[cell + 1] = max(pool[cell + 1], time)
            return
        if pool[cell + 1] < pool[oldest + 1]:
            oldest = cell
    unseen = n > 0 and pool[oldest + 1] < max(pool[address], time) - step.keep
    is_last = n == room(step.ring, int(pool[address + 1])) or n == step.ring
    if not unseen and not is_last:
        pool[address + 3] = n + 1
        oldest = end
    elif time < pool[oldest + 1]:
        return
    pool[oldest], pool[oldest + 1] = value, time


@part
def read(pool: Any, block: Any, address: int, stats: Any, now: int, row: Any) -> None:
    """Write the number of values seen in each window."""
    for s in range(block.stats, block.stats_end):
        seen = 0.0
        if address >= 0:
            first = address + HEAD
            for cell in range(first, first + int(pool[address + 3]) * _WIDTH, _WIDTH):
                seen += pool[cell + 1] > now - stats[s].buckets
        row[stats[s].column] = seen
