"""Update rolling features by an event: one look-up for each key, one call of a kernel."""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from state.counted import Reading, reading
from state.kinds.kind import Step, Value
from state.vector import kernels
from state.vector.arena import NOWHERE, Arena, Table
from state.vector.keys import key_of, writer

Observe = Callable[[Any], None]


class StepTable(NamedTuple):
    """A step and the table of its blocks."""

    step: Step
    table: Table


def observer(arena: Arena, steps: Sequence[StepTable], hooks: Sequence[Observe]) -> Observe:
    """Compile the observation of one event type: its steps, then its hooks.

    Args:
        arena: Arena of the steps' tables.
        steps: Steps over this event type.
        hooks: Further functions to call with each event.
    """
    if not steps:
        return _each(hooks)
    groups = list(dict.fromkeys((table.directory, step.by) for step, table in steps))
    moments = list(dict.fromkeys(step.at for step, _ in steps))
    firsts: dict[tuple[Value, ...], int] = {}
    taken: list[Value] = []
    rows = np.zeros(len(steps), kernels.UPDATE)
    for row, (step, table) in zip(rows, steps, strict=True):
        if step.values not in firsts:
            firsts[step.values] = len(taken)
            taken += step.values
        row["values"] = firsts[step.values]
        row["group"], row["slot"] = groups.index((table.directory, step.by)), table.slot
        row["time"] = moments.index(step.at)
        for name, value in step.fixed.items():
            row[name] = value
    places, times = np.zeros(len(groups), np.int64), np.zeros(len(moments), np.int64)
    values = np.array([weight for _, weight in taken], np.float64)
    put_place, put_time, put_value = writer(places), writer(times), writer(values)
    keys = [(i, directory.places, key_of(by)) for i, (directory, by) in enumerate(groups)]
    time_of = [(i, attrgetter(at)) for i, at in enumerate(moments)]
    value_of = [
        (i, _weighted(of, weight)) for i, (of, weight) in enumerate(taken) if of is not None
    ]
    kernel, plan = kernels.observe, rows.view(np.int64)

    def observe(seen: Any) -> None:
        for i, found, key in keys:
            put_place[i] = found.get(key(seen), NOWHERE)
        for i, time in time_of:
            put_time[i] = time(seen)
        for i, value in value_of:
            put_value[i] = value(seen)
        while (lacking := kernel(arena.pool, arena.slots, plan, places, times, values)) >= 0:
            must_grow, number = divmod(lacking, len(steps))
            i, found, key = keys[rows[number]["group"]]
            table = steps[number].table
            (table.grow if must_grow else table.add)(key(seen))
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
