"""Read the vector of a request: one look-up for each key, one call of a kernel."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from state.kinds.kind import BinEdges, Block, Derived
from state.vector import kernels
from state.vector.arena import NOWHERE, Arena, Table
from state.vector.keys import key_of, writer
from state.vector.levels import Levels

Read = Callable[[Any, NDArray[np.float64]], None]
"""Writes the vector of a request into a row: float64, one value per column."""
Number = Callable[[Levels], Callable[[str | None], float]]


class BlockTable(NamedTuple):
    """A block that the vector reads, and its table."""

    block: Block
    table: Table


class DirectColumns(NamedTuple):
    """Columns that come directly from the request or from a hook.

    Attributes:
        place: Number of the column, or of the first one.
        value: Returns a value of the request; a name for a column with levels.
        levels: Levels of each column; None for a number.
        several: Whether `value` returns a sequence, one value per column.
    """

    place: int
    value: Callable[[Any], Any]
    levels: tuple[Levels | None, ...]
    several: bool = False


class ComputedColumn(NamedTuple):
    """A column that is computed from other columns."""

    place: int
    how: BinEdges | Derived


def reader(
    arena: Arena,
    blocks: Sequence[BlockTable],
    given: Sequence[DirectColumns],
    follows: Sequence[ComputedColumn],
    number: Number,
) -> Read:
    """Make a `Read` with its own working memory.

    If `number` adds no levels, calls change nothing, so other threads may read at the same time.

    Args:
        arena: Arena of the blocks' tables.
        blocks: Blocks to read.
        given: Columns from the request or a hook.
        follows: Columns computed from others, in order.
        number: Makes the function from a column's level names to numbers.
    """
    groups = list(dict.fromkeys(block.by for block, _ in blocks))
    directory = {block.by: table.directory.places for block, table in blocks}
    keys = [(i, directory[by], key_of(by)) for i, by in enumerate(groups)]
    plan = kernels.plan_of(*_tables(blocks, groups), _derived(follows), *_bins(follows))
    places = np.zeros(len(groups), np.int64)
    put_place = writer(places)
    single = [(one.place, _numbered(one, number)) for one in given if not one.several]
    several = [(many.place, _all_numbered(many, number)) for many in given if many.several]
    kernel = kernels.read

    def read(request: Any, row: NDArray[np.float64]) -> None:
        for i, found, key in keys:
            put_place[i] = found.get(key(request), NOWHERE)
        put = writer(row)
        for i, value in single:
            put[i] = value(request)
        for first, values in several:
            for i, one in enumerate(values(request), first):
                put[i] = one
        kernel(arena.pool, arena.slots, places, plan, request.time, row)

    return read


def _tables(
    blocks: Sequence[BlockTable], groups: Sequence[tuple[str, ...]]
) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """The blocks as READ, and their statistics as STAT."""
    rows = np.zeros(len(blocks), kernels.READ)
    stats = np.zeros(sum(len(block.stats) for block, _ in blocks), kernels.STAT)
    end = 0
    for row, (block, table) in zip(rows, blocks, strict=True):
        row["kind"], row["group"], row["slot"] = block.kind, groups.index(block.by), table.slot
        row["stats"] = end
        for stat in block.stats:
            for name, value in stat.items():
                stats[end][name] = value
            end += 1
        row["stats_end"] = end
        for name, value in block.read.items():
            row[name] = value
    return rows, stats


def _derived(follows: Sequence[ComputedColumn]) -> NDArray[np.void]:
    """The columns derived from two others, as DERIVED."""
    found = [(one.place, one.how) for one in follows if isinstance(one.how, Derived)]
    rows = [(how.how, place, how.a, how.b) for place, how in found]
    return np.array(rows, kernels.DERIVED)


def _bins(follows: Sequence[ComputedColumn]) -> tuple[NDArray[np.void], NDArray[np.float64]]:
    """The bins as BIN, and all their edges."""
    rows: list[tuple[int, ...]] = []
    edges: list[float] = []
    for place, cut in follows:
        if isinstance(cut, BinEdges):
            rows.append((place, cut.of, len(edges), len(edges) + len(cut.edges)))
            edges += cut.edges
    return np.array(rows, kernels.BIN), np.array(edges, np.float64)


def _numbered(given: DirectColumns, number: Number) -> Callable[[Any], float]:
    (levels,), name_of = given.levels, given.value
    if levels is None:
        return name_of
    number_of = number(levels)
    return lambda request: number_of(name_of(request))


def _all_numbered(given: DirectColumns, number: Number) -> Callable[[Any], Sequence[float]]:
    values_of = given.value
    numbers = [(i, number(levels)) for i, levels in enumerate(given.levels) if levels is not None]
    if not numbers:
        return values_of

    def values(request: Any) -> list[float]:
        found = list(values_of(request))
        for i, number_of in numbers:
            found[i] = number_of(found[i])
        return found

    return values
