"""The summary at the end of a flow: quality of the models, fits, dead letters."""

import math
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TypeVar

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from flows.home.home import Home
from flows.reports.counts import counts_of
from flows.terminal.time_format import format_time
from models.refit.fit_record import FitRecord
from models.scorecard import Floats, scorecard
from state.log import Log, decoded
from state.topics import ALERTS, DEAD_LETTERS, OUTCOMES

T = TypeVar("T")
_SHOWN = ("online", "offline", "residual", "ensemble")


class _Scored(msgspec.Struct, frozen=True, gc=False):
    """The fields of an outcome that the summary needs."""

    probability: float
    online: float
    offline: float | None
    residual: float | None
    label: int


class _DeadLetter(msgspec.Struct, frozen=True, gc=False):
    reason: str


def print_summary(console: Console, log: Log, decisions: list[FitRecord], home: Home) -> None:
    """Print tables of models, fits and dead letters, and the place of the results."""
    _print_quality(console, log)
    if decisions:
        print_fits(console, decisions)
    reasons = Counter(letter.reason for letter in _all(log, DEAD_LETTERS, _DeadLetter))
    counted = ", ".join(f"{n:,} {reason}" for reason, n in reasons.most_common()) or "none"
    console.print(f"Dead letters: {counted}", highlight=False)
    counts = counts_of(log)
    if counts is not None and counts.unlabelled:
        console.print(f"Requests without a label: {counts.unlabelled:,}", highlight=False)
    if counts is not None and counts.early:
        console.print(f"Labels that wait for their request: {counts.early:,}", highlight=False)
    alerts = sum(log.end(ALERTS, p) for p in range(log.partitions(ALERTS)))
    console.print(f"Alerts: {alerts or 'none'}", highlight=False)
    console.print(
        f"Results: {home.root}  "
        "(headwater export outcomes --out outcomes.parquet, headwater models)",
        highlight=False,
        soft_wrap=True,
    )


def _print_quality(console: Console, log: Log) -> None:
    scores = _scores(log)
    rows = len(scores["label"])
    if not rows:
        console.print("No request has got its label yet.", highlight=False)
        return
    by_all = ~np.isnan(scores["offline"])
    compared = int(by_all.sum())
    title = f"{compared or rows:,} labelled requests"
    if 0 < compared < rows:
        title += f" that all models scored, of {rows:,}"
        scores = {name: values[by_all] for name, values in scores.items()}
    table = _table("model", right=("AUC", "log-loss", "Brier", "F1"))
    for name in _SHOWN if compared else ("online",):
        guesses = scores["probability" if name == "ensemble" else name]
        card = scorecard(scores["label"], guesses)
        auc = "-" if card.auc is None else f"{card.auc:.4f}"
        table.add_row(name, auc, f"{card.log_loss:.4f}", f"{card.brier:.4f}", f"{card.f1:.4f}")
    console.print(title, highlight=False)
    console.print(table)


def _scores(log: Log) -> dict[str, Floats]:
    """Labels and probabilities of all outcomes, 40 bytes for each; NaN for a missing one."""
    columns = {name: array("d") for name in _Scored.__struct_fields__}
    put = [column.append for column in columns.values()]
    for one in _all(log, OUTCOMES, _Scored):
        for append, value in zip(put, msgspec.structs.astuple(one), strict=True):
            append(math.nan if value is None else value)
    return {name: np.asarray(column) for name, column in columns.items()}


def print_fits(console: Console, decisions: list[FitRecord]) -> None:
    """Print one line for each boundary, and below them the reasons for missing models."""
    promoted = sum(decision.status == "promoted" for decision in decisions)
    table = _table("boundary", "decision", "model", right=("rows", "log-loss", "champion's"))
    reasons = _table("boundary", "reason", right=())
    reasons.show_header = False
    for one in decisions:
        boundary = format_time(one.boundary)
        table.add_row(
            boundary,
            one.status,
            one.model or "-",
            f"{one.window.rows:,}" if one.window else "-",
            f"{one.metrics.log_loss:.4f}" if one.metrics else "-",
            f"{one.champion_metrics.log_loss:.4f}" if one.champion_metrics else "-",
        )
        if one.status in {"failed", "skipped"}:
            reasons.add_row(boundary, one.reason.splitlines()[0])
    console.print(f"Boundaries: {len(decisions)}, models promoted: {promoted}", highlight=False)
    console.print(table)
    if reasons.rows:
        console.print("Why there was no model:", highlight=False)
        console.print(reasons)


def _table(*left: str, right: Sequence[str]) -> Table:
    """A table that folds its cells in a narrow terminal, without losing text."""
    table = Table(box=None)
    for heading in (*left, *right):
        table.add_column(heading, justify="right" if heading in right else "left", overflow="fold")
    return table


def _all(log: Log, topic: str, kind: type[T]) -> Iterator[T]:
    decode = msgspec.json.Decoder(kind).decode
    for partition in range(log.partitions(topic)):
        offset = log.start(topic, partition)
        while records := log.read(topic, partition, offset, max_records=10_000):
            try:
                read = [decode(record.value) for record in records]
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                read = [decoded(topic, partition, record, kind) for record in records]
            yield from read
            offset += len(records)
