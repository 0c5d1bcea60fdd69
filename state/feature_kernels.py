"""Compiled arithmetic of the rolling features, over the arena's pool.

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

ROLLING, EWMA, LAST = 0, 1, 2
SUM, MEAN = 0, 1

UPDATE = np.dtype(
    [
        ("kind", "i8"),
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

Of a rolling block's values the first is the weight of the event, and those from `sure` on have
their readings counted.
"""

READ = np.dtype(
    [
        ("kind", "i8"),
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

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


@_jit
def observe(pool: Any, steps: Any, addresses: Any, times: Any, values: Any) -> None:
    """Put one event into its blocks; `addresses` and `times` (µs) hold one for each step."""
    for k in range(len(steps)):
        step = steps[k]
        address, time, first = addresses[k], times[k], step.values
        if step.kind == ROLLING:
            _count(pool, step, address, time, values)
        elif step.kind == EWMA:
            if pool[address] == 0.0 or time - pool[address] > step.bucket:
                pool[address + 1] = step.prior
            if not np.isnan(values[first]):
                pool[address + 1] += step.rate * (values[first] - pool[address + 1])
        elif time >= pool[address]:
            for i in range(step.n):
                pool[address + 1 + i] = values[first + i]
        pool[address] = max(pool[address], time)


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


@_jit
def read(pool: Any, blocks: Any, addresses: Any, stats: Any, now: int, sums: Any, row: Any) -> None:
    """Fill the rolling columns of `row` as of `now` (µs); `sums` is room for a block's measures."""
    for k in range(len(blocks)):
        block = blocks[k]
        address = addresses[k]
        if block.kind == ROLLING:
            _read_windows(pool, block, address, stats, now, sums, row)
        elif block.kind == EWMA:
            alive = address >= 0 and now - pool[address] <= block.forget
            row[block.column] = pool[address + 1] if alive else block.prior
        else:
            alive = address >= 0 and now - pool[address] <= block.forget
            for i in range(block.n):
                row[block.column + i] = pool[address + 1 + i] if alive else np.nan


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
