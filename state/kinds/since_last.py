"""`SinceLast`: minutes since a key's newest event. Its block is `[touched]`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from state.counted import Counted
from state.durations import Duration
from state.events import MINUTE_US
from state.kinds.compiled import part
from state.kinds.keys import By, Keyed
from state.kinds.kind import Block, Column, Compiled, Scope, Step, Transform

KIND = 4


@dataclass(frozen=True)
class SinceLast(Keyed):
    """Minutes since the newest event of a key; missing if there was none, or too long ago.

    For a request that is later than that event, it is 0 minutes.

    Args:
        name: Name of the column.
        over: Event type, or `Labelled`.
        by: Fields that make the key; if event and request name them differently, as in
            `{"request_field": "event_field"}`.
        forget: Age at which it counts as missing.
        transform: Transform for the linear models.
    """

    name: str
    over: Counted
    by: By
    forget: str = "7d"
    transform: Transform = "log1p"

    @property
    def columns(self) -> tuple[Column, ...]:
        """The minutes."""
        return (Column(self.name, transform=self.transform),)

    def durations(self) -> Iterator[str]:
        """The age."""
        yield self.forget

    def compiled(self, scope: Scope) -> Compiled:
        """An empty block: only the time of the last use."""
        age = Duration.parse(self.forget)
        step = Step(self.over, self.event_key(self.over), "time", (), {"kind": KIND})
        read = {"column": scope.place, "forget": age}
        return Compiled(blocks=(Block(KIND, self.request_key, (1,), age, (step,), read),))


@part
def read(pool: Any, block: Any, address: int, now: int, row: Any) -> None:
    """Write the minutes."""
    row[block.column] = np.nan
    if address >= 0 and now - pool[address] <= block.forget:
        row[block.column] = max(now - pool[address], 0.0) / MINUTE_US
