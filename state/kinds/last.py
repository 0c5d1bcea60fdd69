"""`Last`: the newest values of a key. Its block is `[touched, value, …]`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from state.counted import Counted, Labelled
from state.durations import Duration
from state.events import Event
from state.field_types import NUMBER
from state.kinds.compiled import part
from state.kinds.keys import By, Keyed
from state.kinds.kind import Block, Column, Compiled, FieldUse, Scope, Step

KIND = 2


@dataclass(frozen=True)
class Last(Keyed):
    """The newest values of a key, missing when they are too old.

    Args:
        over: Event with the values; `Labelled`: the label that became known last, `"label"`.
        by: Fields that make the key; if their names differ between request and event:
            `{"request_field": "event_field"}`.
        values: Fields, one column each; a null is a missing value.
        expires: Age from which on they are missing.
        names: Names of the columns; none: those of the fields, after the key if `over` is
            `Labelled`.
    """

    over: Counted
    by: By
    values: tuple[str, ...]
    expires: str
    names: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[Column, ...]:
        """The values."""
        plain = self.values
        if self.over is Labelled:
            plain = tuple(f"{self.prefix}_{value}" for value in self.values)
        return tuple(Column(name) for name in self.names or plain)

    def uses(self, request: type[Event]) -> Iterator[FieldUse]:
        """The key and the values."""
        yield from super().uses(request)
        yield from (FieldUse(self.over, name, NUMBER) for name in self.values)

    def durations(self) -> Iterator[str]:
        """The age."""
        yield self.expires

    def wrong(self, scope: Scope) -> str:
        """Check that each value has a name, if names are given."""
        if self.names and len(self.names) != len(self.values):
            return (
                f"names must be one for each of {len(self.values)} values; got {len(self.names)} "
                f"in feature {self.title}"
            )
        return super().wrong(scope)

    def compiled(self, scope: Scope) -> Compiled:
        """All values of a key in one block."""
        age, n = Duration.parse(self.expires), len(self.values)
        fixed = {"kind": KIND, "n": n}
        values = tuple((name, 1.0) for name in self.values)
        step = Step(self.over, self.event_key(self.over), "time", values, fixed)
        read = {**fixed, "column": scope.place, "forget": age}
        return Compiled(blocks=(Block(KIND, self.request_key, (1 + n,), age, (step,), read),))


@part
def observe(pool: Any, step: Any, address: int, time: int, values: Any) -> None:
    """Store the values unless newer ones are stored."""
    if time >= pool[address]:
        for i in range(step.n):
            pool[address + 1 + i] = values[step.values + i]


@part
def read(pool: Any, block: Any, address: int, now: int, row: Any) -> None:
    """Write the values, or missing values if there are none."""
    alive = address >= 0 and now - pool[address] <= block.forget
    for i in range(block.n):
        row[block.column + i] = pool[address + 1 + i] if alive else np.nan
