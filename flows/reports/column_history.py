"""Columns that stood out over time, from `metrics`."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec
import polars as pl

from flows.pages.document import Block, Paragraph, Table, code
from flows.reports.figures import figure, share
from flows.terminal.time_format import format_time
from models.judging.column_faults import KINDS
from models.judging.fault_text import SHORT
from state.outputs.records import Alert, ColumnState

COLUMNS = ("time", "columns")
_MOST = 12
_decode = msgspec.json.Decoder(dict[str, ColumnState]).decode


class ColumnHistory(NamedTuple):
    """A column that stood out at some ticks.

    Attributes:
        column: Name of the column.
        ticks: Number of ticks of a partition at which it stood out.
        worst: State where the population stability index was highest.
        worst_at: Event time of that tick, µs.
        kinds: Kinds of its faults.
        weight: Importance times the mean index over all ticks.
    """

    column: str
    ticks: int
    worst: ColumnState
    worst_at: int
    kinds: set[str]
    weight: float


class ColumnsOverTime(NamedTuple):
    """The columns that stood out, those with faults first, then by weight.

    Attributes:
        found: The columns.
        ticks: Number of ticks of all partitions.
    """

    found: list[ColumnHistory]
    ticks: int


def columns_over_time(frames: Iterable[pl.DataFrame], span: tuple[int, int]) -> ColumnsOverTime:
    """Gather the columns.

    Args:
        frames: Rows of `metrics` with `COLUMNS`.
        span: First and last event time, µs UTC; the last one is not included.
    """
    states: dict[str, list[tuple[int, ColumnState]]] = {}
    ticks = 0
    for frame in frames:
        times = frame["time"].dt.timestamp("us").to_list()
        for at, text in zip(times, frame["columns"].to_list(), strict=True):
            if not span[0] <= at < span[1]:
                continue
            ticks += 1
            for column, state in _decode(text or "{}").items():
                states.setdefault(column, []).append((at, state))
    found = [_history(column, of, ticks) for column, of in states.items()]
    return ColumnsOverTime(sorted(found, key=_rank), ticks)


def _history(column: str, states: list[tuple[int, ColumnState]], ticks: int) -> ColumnHistory:
    worst_at, worst = max(states, key=lambda one: (one[1].psi, -one[0]))
    kinds = {kind for _, state in states for kind in state.faults}
    weight = sum(state.importance * state.psi for _, state in states) / ticks
    return ColumnHistory(column, len(states), worst, worst_at, kinds, weight)


def _rank(of: ColumnHistory) -> tuple[bool, float, float, str]:
    return not of.kinds, -of.weight, -of.worst.psi, of.column


def column_blocks(columns: ColumnsOverTime, alerts: list[Alert]) -> Iterator[Block]:
    """The section of a report on columns."""
    if not columns.found:
        yield Paragraph(
            "No column stood out against the training window of the champion, or the models have "
            "no such window in their files."
        )
        return
    begun = sum(one.kind == "data_quality" for one in alerts)
    yield Paragraph(
        "At each tick the columns of the newest requests are compared with the champion's training "
        "window, at the same hours of the week. PSI, the population stability index, is 0 for the "
        "same values; below 0.1 nothing is said. A drift need not be wrong: seasons and new "
        "business look like that too. A fault is wrong, or its column means something else now; "
        f"{begun:,} gave an alert in this time."
    )
    yield Table(
        ["column", "stood out", "worst PSI", "at (UTC)", "importance", "faults"],
        [
            [
                code(one.column),
                f"{one.ticks:,} of {columns.ticks:,}",
                figure(one.worst.psi),
                format_time(one.worst_at),
                share(one.worst.importance),
                "; ".join(SHORT[kind] for kind in KINDS if kind in one.kinds) or "-",
            ]
            for one in columns.found[:_MOST]
        ],
    )
    if len(columns.found) > _MOST:
        yield Paragraph(f"Another {len(columns.found) - _MOST:,} columns stood out less.")
