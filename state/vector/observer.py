"""How an event changes the rolling features: one look-up for each key, one call of a kernel."""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from state.features import Counted, Labelled, Reading
from state.vector import kernels
from state.vector.arena import NOWHERE, Arena, Table
from state.vector.keys import key_of, reading, writer

Observe = Callable[[Any], None]
Value = tuple[Reading | None, float]
"""A reading and what it is multiplied by; without a reading the number alone."""


class Step(NamedTuple):
    """One block that an event type changes.

    Attributes:
        over: The event type.
        table: Where the block is.
        by: Fields of its key.
        at: Field of the time that it counts at.
        values: What it takes.
        fixed: Fields of its `feature_kernels.UPDATE`.
    """

    over: Counted
    table: Table
    by: tuple[str, ...]
    at: str
    values: tuple[Value, ...]
    fixed: Mapping[str, float]


def observer(arena: Arena, steps: Sequence[Step], hooks: Sequence[Observe]) -> Observe:
    """The compiled observation of one event type: its steps, and then its hooks.

    Args:
        arena: Of the steps' tables.
        steps: All over this type.
        hooks: What else wants to see it.
    """
    if not steps:
        return _each(hooks)
    groups = list(dict.fromkeys(step.by for step in steps))
    moments = list(dict.fromkeys(step.at for step in steps))
    firsts: dict[tuple[Value, ...], int] = {}
    taken: list[Value] = []
    table = np.zeros(len(steps), kernels.UPDATE)
    for row, step in zip(table, steps, strict=True):
        if step.values not in firsts:
            firsts[step.values] = len(taken)
            taken += step.values
        row["values"] = firsts[step.values]
        row["group"], row["slot"] = groups.index(step.by), step.table.slot
        row["time"] = moments.index(step.at)
        for name, value in step.fixed.items():
            row[name] = value
    places, times = np.zeros(len(groups), np.int64), np.zeros(len(moments), np.int64)
    values = np.array([weight for _, weight in taken], np.float64)
    put_place, put_time, put_value = writer(places), writer(times), writer(values)
    directory = {step.by: step.table.directory.places for step in steps}
    keys = [
        (i, directory[by], key_of([f"request.{name}" for name in by] if labelled else by))
        for labelled in (steps[0].over is Labelled,)
        for i, by in enumerate(groups)
    ]
    time_of = [(i, attrgetter(at)) for i, at in enumerate(moments)]
    value_of = [
        (i, _weighted(of, weight)) for i, (of, weight) in enumerate(taken) if of is not None
    ]
    kernel, plan = kernels.observe, table.view(np.int64)

    def observe(seen: Any) -> None:
        for i, found, key in keys:
            put_place[i] = found.get(key(seen), NOWHERE)
        for i, time in time_of:
            put_time[i] = time(seen)
        for i, value in value_of:
            put_value[i] = value(seen)
        while (lacking := kernel(arena.pool, arena.slots, plan, places, times, values)) >= 0:
            i, found, key = keys[table[lacking]["group"]]
            steps[lacking].table.add(key(seen))
            put_place[i] = found[key(seen)]
        for hook in hooks:
            hook(seen)

    return observe


def _each(hooks: Sequence[Observe]) -> Observe:
    def observe(seen: Any) -> None:
        for hook in hooks:
            hook(seen)

    return observe


def _weighted(of: Reading, weight: float) -> Callable[[Any], float]:
    read = reading(of)
    return read if weight == 1.0 else lambda event: weight * read(event)
