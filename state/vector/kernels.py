"""Compiled kernels of the vector: they update and read blocks of every kind, and the bins.

A block begins with the time of its last use. The rest is defined by the kernels `observe` and
`read` of its kind, in that kind's file; here one call handles all blocks.
"""

import inspect
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from state.kinds import (
    arithmetic,
    compiled,
    distinct,
    entries,
    ewma,
    last,
    latest,
    rolling,
    since_last,
    statistics,
)
from state.kinds.compiled import part

_PARTS = (
    arithmetic,
    compiled,
    distinct,
    entries,
    ewma,
    last,
    latest,
    rolling,
    since_last,
    statistics,
)

UPDATE = np.dtype(
    [
        ("kind", "i8"),
        ("group", "i8"),
        ("slot", "i8"),
        ("time", "i8"),
        ("ring", "i8"),
        ("bucket", "i8"),
        ("values", "i8"),
        ("n", "i8"),
        ("sure", "i8"),
        ("keep", "i8"),
        ("rate", "f8"),
        ("prior", "f8"),
    ]
)
"""One step of an observation: `n` values, starting at `values`, for a block of `kind`.

`group` is the index of the key's place, `slot` the slot number from there on, `time` the index of
the event's time. The kind defines the other fields.
"""

READ = np.dtype(
    [
        ("kind", "i8"),
        ("group", "i8"),
        ("slot", "i8"),
        ("ring", "i8"),
        ("bucket", "i8"),
        ("stats", "i8"),
        ("stats_end", "i8"),
        ("column", "i8"),
        ("n", "i8"),
        ("forget", "i8"),
        ("prior", "f8"),
    ]
)
"""One block to read for the vector; its rows of STAT are `stats` to `stats_end`."""

STAT = np.dtype(
    [
        ("buckets", "i8"),
        ("kind", "i8"),
        ("measure", "i8"),
        ("weight", "i8"),
        ("column", "i8"),
        ("prior", "f8"),
        ("strength", "f8"),
    ]
)
"""One statistic of one window; those of a block are ordered by `buckets`.

`measure` and `weight` are places in a cell group: of the sum, and of its divisor.
"""

BIN = np.dtype([("column", "i8"), ("of", "i8"), ("edges", "i8"), ("edges_end", "i8")])
"""A column with the number of the bin, between edges, of another column's value."""

DERIVED = np.dtype([("how", "i8"), ("column", "i8"), ("a", "i8"), ("b", "i8")])
"""A column derived from two others by operation `how` of `state.kinds.arithmetic`."""

_LENGTHS = 4
_READ_WORDS, _STAT_WORDS, _BIN_WORDS, _DERIVED_WORDS = (
    of.itemsize // 8 for of in (READ, STAT, BIN, DERIVED)
)


def plan_of(
    blocks: NDArray[np.void],
    stats: NDArray[np.void],
    derived: NDArray[np.void],
    cuts: NDArray[np.void],
    edges: NDArray[np.float64],
) -> NDArray[np.int64]:
    """The plan of `read` in one array, as numba is slower with arrays of records.

    Args:
        blocks: READ[n].
        stats: STAT[n] of all blocks.
        derived: DERIVED[n], each after the columns it is derived from.
        cuts: BIN[n].
        edges: Edges of all bins, ascending for each column.
    """
    lengths = np.array([len(blocks), len(stats), len(derived), len(cuts)])
    return np.concatenate(
        [lengths, *(part.view(np.int64) for part in (blocks, stats, derived, cuts, edges))]
    )


@part
def _is_full(pool: Any, step: Any, address: int, time: int, values: Any) -> Any:
    if step.kind == rolling.KIND:
        return rolling.is_full(pool, step, address, time)
    if step.kind == distinct.KIND:
        return distinct.is_full(pool, step, address, time, values)
    return step.kind == latest.KIND and latest.is_full(pool, step, address)


@part
def _observe(pool: Any, step: Any, address: int, time: int, values: Any) -> None:
    if step.kind == rolling.KIND:
        rolling.observe(pool, step, address, time, values)
    elif step.kind == ewma.KIND:
        ewma.observe(pool, step, address, time, values)
    elif step.kind == last.KIND:
        last.observe(pool, step, address, time, values)
    elif step.kind == distinct.KIND:
        distinct.observe(pool, step, address, time, values)
    elif step.kind == latest.KIND:
        latest.observe(pool, step, address, values)


@part
def _read(pool: Any, block: Any, address: int, stats: Any, now: int, sums: Any, row: Any) -> None:
    if block.kind == rolling.KIND:
        rolling.read(pool, block, address, stats, now, sums, row)
    elif block.kind == ewma.KIND:
        ewma.read(pool, block, address, now, row)
    elif block.kind == last.KIND:
        last.read(pool, block, address, now, row)
    elif block.kind == distinct.KIND:
        distinct.read(pool, block, address, stats, now, row)
    elif block.kind == since_last.KIND:
        since_last.read(pool, block, address, now, row)
    elif block.kind == latest.KIND:
        latest.read(pool, block, address, stats, now, sums, row)


@part
def _cut(bins: Any, edges: Any, row: Any) -> None:
    for k in range(len(bins)):
        cut = bins[k]
        value = row[cut.of]
        level = 0.0
        if not np.isnan(value):
            level = 1.0 + np.searchsorted(edges[cut.edges : cut.edges_end], value, "right")
        row[cut.column] = level


def _kernels_of(source: str) -> tuple[Any, Any]:
    """Make the two kernels; `source` invalidates numba's cache when an imported module changes."""

    @numba.njit(nogil=True, cache=True, error_model="numpy")
    def observe(pool: Any, slots: Any, plan: Any, places: Any, times: Any, values: Any) -> int:
        _ = source
        steps = plan.view(UPDATE)
        for k in range(len(steps)):
            step = steps[k]
            place = places[step.group]
            if place < 0 or slots[place + step.slot] < 0:
                return k
            if _is_full(pool, step, slots[place + step.slot], times[step.time], values):
                return len(steps) + k
        for k in range(len(steps)):
            step = steps[k]
            time = times[step.time]
            address = slots[places[step.group] + step.slot]
            _observe(pool, step, address, time, values)
            pool[address] = max(pool[address], time)
        return -1

    # Without `nogil`: releasing the lock for a microsecond makes a request wait long to get it
    # back.
    @numba.njit(cache=True, error_model="numpy")
    def read(pool: Any, slots: Any, places: Any, plan: Any, now: int, row: Any) -> None:
        _ = source
        stats_at = _LENGTHS + plan[0] * _READ_WORDS
        derived_at = stats_at + plan[1] * _STAT_WORDS
        bins_at = derived_at + plan[2] * _DERIVED_WORDS
        edges_at = bins_at + plan[3] * _BIN_WORDS
        blocks = plan[_LENGTHS:stats_at].view(READ)
        stats = plan[stats_at:derived_at].view(STAT)
        widest = 0
        for k in range(len(blocks)):
            widest = max(widest, blocks[k].n)
        sums = np.empty(widest)
        for k in range(len(blocks)):
            block = blocks[k]
            place = places[block.group]
            address = slots[place + block.slot] if place >= 0 else -1
            _read(pool, block, address, stats, now, sums, row)
        for j in range(len(row)):
            if np.isinf(row[j]):
                row[j] = np.nan
        arithmetic.derive(plan[derived_at:bins_at].view(DERIVED), row)
        _cut(plan[bins_at:edges_at].view(BIN), plan[edges_at:].view(np.float64), row)

    return observe, read


observe, read = _kernels_of("".join(inspect.getsource(module) for module in _PARTS))
"""`observe`: update the blocks of one event.

Args:
    pool: All blocks.
    slots: Addresses of the blocks.
    plan: UPDATE, one for each block, as int64: numba is slower with records.
    places: Index of each key's first slot, -1 for a key without blocks.
    times: Times (µs) that steps refer to.
    values: Values that steps refer to.

Returns:
    -1 when done. Otherwise nothing was changed, and the result is the number of a step whose block
    is missing, or that number plus the number of steps if the block must grow first.

`read`: fill the columns of blocks in `row` as of `now` (µs), then derived columns, then bins. A
value that is not finite becomes missing, as after an overflow or from a hook.

Args:
    pool: All blocks.
    slots: Addresses of the blocks.
    places: Index of each key's first slot, -1 for a key without blocks.
    plan: Array made by `plan_of`.
    now: Time of the request, µs.
    row: The vector; columns that bins read are set or belong to a block.
"""


def warm() -> None:
    """Compile the kernels, or load them from disk, before the first event."""
    none, nowhere = np.zeros(0), np.zeros(0, np.int64)
    observe(none, nowhere, np.zeros(0, UPDATE).view(np.int64), nowhere, nowhere, none)
    blocks, stats, derived, cuts = (np.zeros(0, of) for of in (READ, STAT, DERIVED, BIN))
    plan = plan_of(blocks, stats, derived, cuts, none)
    read(none, nowhere, nowhere, plan, 0, none)
    rolling.misplaced(none, nowhere, nowhere, 1, 1)
