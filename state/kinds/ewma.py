"""`Ewma`: an exponentially weighted mean, one step per reading. Its block is `[touched, mean]`."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from state.counted import Counted, Reading
from state.durations import Duration
from state.events import Event
from state.field_types import NUMBER
from state.kinds.compiled import part
from state.kinds.keys import By, Keyed
from state.kinds.kind import Block, Column, Compiled, FieldUse, Scope, Step, Transform
from state.stream_numbers import Bound

KIND = 1


@dataclass(frozen=True)
class Ewma(Keyed):
    """Exponentially weighted mean of a reading, one step per reading: `m += rate * (x - m)`.

    A missing reading makes no step, but keeps the key from being forgotten.

    Args:
        name: Name of the column.
        over: Event type to average over, or `Labelled`.
        by: Fields that make the key; if event and request name them differently, as in
            `{"request_field": "event_field"}`.
        of: The reading to average.
        rate: Step of each event, above 0 and at most 1.
        prior: Value of a new key, and of a forgotten one.
        forget: Age of a key's last event at which it is forgotten.
        transform: Transform for the linear models.
    """

    name: str
    over: Counted
    by: By
    of: Reading
    rate: float
    prior: float
    forget: str
    transform: Transform = "identity"

    @property
    def columns(self) -> tuple[Column, ...]:
        """The mean."""
        return (Column(self.name, transform=self.transform),)

    def uses(self, request: type[Event]) -> Iterator[FieldUse]:
        """The key and the reading."""
        yield from super().uses(request)
        if isinstance(self.of, str):
            yield FieldUse(self.over, self.of, NUMBER)

    def durations(self) -> Iterator[str]:
        """The age."""
        yield self.forget

    def bounds(self, lateness_us: int) -> Iterator[Bound]:
        """The rate and the prior."""
        yield Bound("rate", self.rate, math.ulp(0.0), 1)
        yield Bound("prior", self.prior)

    def compiled(self, scope: Scope) -> Compiled:
        """One mean a key."""
        age = Duration.parse(self.forget)
        fixed = {"kind": KIND, "prior": self.prior}
        step = Step(
            self.over,
            self.event_key(self.over),
            "time",
            ((self.of, 1.0),),
            {**fixed, "bucket": age, "n": 1, "rate": self.rate},
        )
        read = {**fixed, "column": scope.place, "forget": age}
        return Compiled(blocks=(Block(KIND, self.request_key, (2,), age, (step,), read),))


@part
def observe(pool: Any, step: Any, address: int, time: int, values: Any) -> None:
    """Make a step, from the prior if the key is new or due to be forgotten."""
    if pool[address] == 0.0 or time - pool[address] > step.bucket:
        pool[address + 1] = step.prior
    value = values[step.values]
    if not np.isnan(value):
        pool[address + 1] = _stepped(pool[address + 1], value, step.rate)


@part
def _stepped(mean: float, value: float, rate: float) -> Any:
    """`mean + rate * (value - mean)`; if that overflows, a weighted mean, which cannot."""
    stepped = mean + rate * (value - mean)
    return stepped if np.isfinite(stepped) else (1.0 - rate) * mean + rate * value


@part
def read(pool: Any, block: Any, address: int, now: int, row: Any) -> None:
    """Write the mean, or the prior if there is none."""
    alive = address >= 0 and now - pool[address] <= block.forget
    row[block.column] = pool[address + 1] if alive else block.prior
