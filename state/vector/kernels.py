"""Compiled arithmetic of the vector: the rolling features, over the arena's pool, and the bins.

Blocks begin with the time of the last touch. After it come, by kind:

- rolling: a ring of buckets, each `[bucket number + 1, count, measure, …, readings, …]`; 0 marks
  an empty one, and a bucket's number says whether what the ring holds is of this turn or an old
  one. The measures that may be missing come last, and `readings` counts those there are of each;
- ewma: the mean;
- last: the values.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

ROLLING, EWMA, LAST = 0, 1, 2
SUM, MEAN = 0, 1

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
        ("rate", "f8"),
        ("prior", "f8"),
    ]
)
"""One step of an observation: `n` values from `values` on, into a block of `kind`.

`group` says which of the places of keys is the block's, `slot` which slot from there on, `time`
which of the times counts. Of a rolling block's values the first is the weight of the event, and
those from `sure` on have their readings counted.
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
"""One block read for the vector: a rolling block's statistics are rows of STAT."""

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
"""One statistic of one window; a block's are in order of `buckets`.

`measure` and `weight` are places in a bucket, of the sum and of what it is divided by.
"""

BIN = np.dtype([("column", "i8"), ("of", "i8"), ("edges", "i8"), ("edges_end", "i8")])
"""One column that says between which of its edges another one lies."""

_LENGTHS = 3
_MOST_BUCKETS = 2.0**53
_READ_WORDS, _STAT_WORDS, _BIN_WORDS = (of.itemsize // 8 for of in (READ, STAT, BIN))

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
# A request that lets go of the interpreter's lock for a microsecond waits long to have it back.
_holding = numba.njit(cache=True, error_model="numpy")


def plan_of(
    blocks: NDArray[np.void],
    stats: NDArray[np.void],
    cuts: NDArray[np.void],
    edges: NDArray[np.float64],
) -> NDArray[np.int64]:
    """What `read` goes by, in one array: numba takes longer to accept arrays of records.

    Args:
        blocks: READ[n].
        stats: STAT[n], those of all blocks.
        cuts: BIN[n].
        edges: Of all cuts, ascending in each.
    """
    lengths = np.array([len(blocks), len(stats), len(cuts)])
    return np.concatenate(
        [lengths, *(part.view(np.int64) for part in (blocks, stats, cuts, edges))]
    )


@_jit
def observe(pool: Any, slots: Any, plan: Any, places: Any, times: Any, values: Any) -> int:
    """Put one event into its blocks.

    Args:
        pool: All blocks.
        slots: Their addresses.
        plan: UPDATE, one for each block, as int64: numba takes longer to accept records.
        places: Of each key's first slot, -1 where it has none.
        times: µs, whatever steps count at.
        values: Whatever steps take.

    Returns:
        -1, or the first step that has no block: then nothing was done.
    """
    steps = plan.view(UPDATE)
    for k in range(len(steps)):
        place = places[steps[k].group]
        if place < 0 or slots[place + steps[k].slot] < 0:
            return k
    for k in range(len(steps)):
        step = steps[k]
        time, first = times[step.time], step.values
        address = slots[places[step.group] + step.slot]
        if step.kind == ROLLING:
            _count(pool, step, address, time, values)
        elif step.kind == EWMA:
            if pool[address] == 0.0 or time - pool[address] > step.bucket:
                pool[address + 1] = step.prior
            if not np.isnan(values[first]):
                pool[address + 1] = _stepped(pool[address + 1], values[first], step.rate)
        elif time >= pool[address]:
            for i in range(step.n):
                pool[address + 1 + i] = values[first + i]
        pool[address] = max(pool[address], time)
    return -1


@_jit
def _stepped(mean: float, value: float, rate: float) -> Any:
    """`mean + rate * (value - mean)`; where that overflows, as a weighted mean, which cannot."""
    stepped = mean + rate * (value - mean)
    return stepped if np.isfinite(stepped) else (1.0 - rate) * mean + rate * value


@_jit
def _count(pool: Any, step: Any, address: int, time: int, values: Any) -> None:
    number = time // step.bucket
    width = 1 + step.n + (step.n - step.sure)
    cell = address + 1 + (number % step.ring) * width
    if pool[cell] < number + 1:
        pool[cell] = number + 1
        pool[cell + 1 : cell + width] = 0.0
    if pool[cell] == number + 1:
        for i in range(step.n):
            value = values[step.values + i]
            if not np.isnan(value):
                pool[cell + 1 + i] += value
                if i >= step.sure:
                    pool[cell + 1 + step.n + i - step.sure] += values[step.values]


@_holding
def read(
    pool: Any,
    slots: Any,
    places: Any,
    plan: Any,
    now: int,
    row: Any,
) -> None:
    """Fill the rolling columns of `row` as of `now` (µs), and then the bins.

    What is no finite number is missing: a sum that overflowed, or what a hook gave.

    Args:
        pool: All blocks.
        slots: Their addresses.
        places: Of each key's first slot, -1 where it has none.
        plan: Of `plan_of`.
        now: µs.
        row: The vector; what the bins look at is there, or is rolling.
    """
    stats_at = _LENGTHS + plan[0] * _READ_WORDS
    bins_at = stats_at + plan[1] * _STAT_WORDS
    edges_at = bins_at + plan[2] * _BIN_WORDS
    blocks = plan[_LENGTHS:stats_at].view(READ)
    stats = plan[stats_at:bins_at].view(STAT)
    bins = plan[bins_at:edges_at].view(BIN)
    edges = plan[edges_at:].view(np.float64)
    widest = 0
    for k in range(len(blocks)):
        widest = max(widest, blocks[k].n)
    sums = np.empty(widest)
    for k in range(len(blocks)):
        block = blocks[k]
        place = places[block.group]
        address = slots[place + block.slot] if place >= 0 else -1
        if block.kind == ROLLING:
            _read_windows(pool, block, address, stats, now, sums, row)
        elif block.kind == EWMA:
            alive = address >= 0 and now - pool[address] <= block.forget
            row[block.column] = pool[address + 1] if alive else block.prior
        else:
            alive = address >= 0 and now - pool[address] <= block.forget
            for i in range(block.n):
                row[block.column + i] = pool[address + 1 + i] if alive else np.nan
    for j in range(len(row)):
        if np.isinf(row[j]):
            row[j] = np.nan
    for k in range(len(bins)):
        cut = bins[k]
        value = row[cut.of]
        level = 0.0
        if not np.isnan(value):
            level = 1.0 + np.searchsorted(edges[cut.edges : cut.edges_end], value, "right")
        row[cut.column] = level


@_jit
def _read_windows(
    pool: Any, block: Any, address: int, stats: Any, now: int, sums: Any, row: Any
) -> None:
    sums[: block.n] = 0.0
    number = now // block.bucket
    width = 1 + block.n
    place = number % block.ring
    seen = 0
    for s in range(block.stats, block.stats_end):
        stat = stats[s]
        while address >= 0 and seen < stat.buckets:
            cell = address + 1 + place * width
            if pool[cell] == number + 1 - seen:
                for i in range(block.n):
                    sums[i] += pool[cell + 1 + i]
            seen += 1
            place = place - 1 if place > 0 else block.ring - 1
        total = sums[stat.measure]
        if stat.kind == SUM:
            row[stat.column] = total
        else:
            weight = sums[stat.weight] + stat.strength
            row[stat.column] = (
                (total + stat.prior * stat.strength) / weight if weight > 0.0 else np.nan
            )


@_jit
def misplaced(pool: Any, addresses: Any, ring: int, width: int) -> int:
    """The first rolling block with a bucket that is none or not in its place; -1: none.

    Args:
        pool: All blocks.
        addresses: Of the blocks.
        ring: Buckets of each.
        width: Cells of a bucket.
    """
    for k in range(len(addresses)):
        for place in range(ring):
            number = pool[addresses[k] + 1 + place * width] - 1.0
            if number == -1.0:
                continue
            if not 0.0 <= number < _MOST_BUCKETS or np.int64(number) % ring != place:
                return k
            if number != np.floor(number):
                return k
    return -1


def warm() -> None:
    """Compile the kernels, or load what was compiled before, so that no event has to wait."""
    none, nowhere = np.zeros(0), np.zeros(0, np.int64)
    observe(none, nowhere, np.zeros(0, UPDATE).view(np.int64), nowhere, nowhere, none)
    plan = plan_of(np.zeros(0, READ), np.zeros(0, STAT), np.zeros(0, BIN), none)
    read(none, nowhere, nowhere, plan, 0, none)
    misplaced(none, nowhere, 1, 1)
