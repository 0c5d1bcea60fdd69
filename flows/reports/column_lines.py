"""Columns that stand out against the training window, by the newest metrics of each partition."""

from collections.abc import Iterable, Sequence

import msgspec

from flows.terminal.time_format import format_time
from models.judging.column_faults import KINDS
from models.judging.fault_text import SHORT
from state.outputs.records import ColumnState, Metrics


class ColumnLine(msgspec.Struct, frozen=True):
    """A column that stands out in some partitions.

    Attributes:
        column: Name of the column.
        partitions: Number of partitions in which it stands out.
        faults: Kinds of its faults, and since when the first partition has them (µs).
        state: State in the partition in which it stands out most.
    """

    column: str
    partitions: int
    faults: dict[str, int]
    state: ColumnState

    @property
    def words(self) -> str:
        """The faults and their begin, or that the column drifts."""
        return (
            "; ".join(
                f"{SHORT[kind]} since {format_time(self.faults[kind])}"
                for kind in KINDS
                if kind in self.faults
            )
            or "other values than in training"
        )


def column_lines(newest: Iterable[Metrics]) -> list[ColumnLine]:
    """The columns that stand out: those with faults first, then by importance times drift."""
    found: dict[str, list[tuple[int, ColumnState]]] = {}
    for one in newest:
        for rank, (column, state) in enumerate(one.columns.items()):
            found.setdefault(column, []).append((rank, state))
    lines = []
    for column, states in found.items():
        rank, state = min(states, key=lambda of: (not of[1].faults, of[0], -of[1].psi))
        since: dict[str, int] = {}
        for _, own in states:
            for kind, at in own.faults.items():
                since[kind] = min(at, since.get(kind, at))
        lines.append((not since, rank, ColumnLine(column, len(states), since, state)))
    return [line for *_, line in sorted(lines, key=lambda one: (*one[:2], one[2].column))]


def fault_counts(newest: Sequence[Metrics]) -> dict[str, int]:
    """Number of columns with each kind of fault, in all partitions together."""
    states = [state for one in newest for state in one.columns.values()]
    return {kind: sum(kind in state.faults for state in states) for kind in KINDS}


def drifting(newest: Iterable[Metrics]) -> int:
    """Number of columns that stand out without a fault, in any partition."""
    return sum(not line.faults for line in column_lines(newest))


def status_lines(newest: Sequence[Metrics]) -> list[str]:
    """Lines on columns for `headwater status`; none if no column stands out.

    Example:
        >>> state = ColumnState(400, psi=0.3, critical=0.1)
        >>> newest = [Metrics(0, 0, 0, 0, {}, 0, None, {}, {}, {}, columns={"wind": state})]
        >>> status_lines(newest)
        ['columns: 1 has other values than in training (see `headwater columns`)']
    """
    lines = column_lines(newest)
    said = [f"column {line.column}: {line.words}" for line in lines if line.faults]
    n = sum(not line.faults for line in lines)
    if n:
        has = "has" if n == 1 else "have"
        said.append(f"columns: {n:,} {has} other values than in training (see `headwater columns`)")
    return said
