"""The summary at the end of a flow: quality of the models, fits, dead letters."""

import math
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TypeVar

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from flows.home.home import Home
from flows.reports.counts import counts_of, newest_metrics
from flows.terminal.time_format import format_time
from models.refit.fit_record import TITLES, FitRecord
from models.scorecard import Floats, constant_log_loss, scorecard
from state.log import Log, decoded
from state.outputs.records import DeadLetterCount
from state.topics import ALERTS, DEAD_LETTERS, OUTCOMES

T = TypeVar("T")
_SHOWN = ("online", "offline", "residual", "ensemble")
_MOST = 200_000
"""Number of newest records of a topic that are read, so that a long log is as fast as a short."""


class _Scored(msgspec.Struct, frozen=True, gc=False):
    """The fields of an outcome that the summary needs."""

    probability: float
    online: float
    offline: float | None
    residual: float | None
    label: int


def print_summary(
    console: Console, log: Log, decisions: list[FitRecord], home: Home, most: int = _MOST
) -> None:
    """Print the tables of models, fits and dead letters, and where the results lie.

    Args:
        console: Console to print on.
        log: Log with the results.
        decisions: Records of the fits.
        home: Home of the log.
        most: Largest number of newest outcomes and dead letters to read.
    """
    _print_quality(console, log, most)
    if decisions:
        print_fits(console, decisions)
    reasons = Counter(letter.reason for letter in _newest(log, DEAD_LETTERS, DeadLetterCount, most))
    counted = ", ".join(f"{n:,} {reason}" for reason, n in reasons.most_common()) or "none"
    letters = _held(log, DEAD_LETTERS)
    if letters > reasons.total():
        counted = f"{letters:,}, of the newest {reasons.total():,}: {counted}"
    console.print(f"Dead letters: {counted}", highlight=False)
    counts = counts_of(newest_metrics(log))
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


def _print_quality(console: Console, log: Log, most: int) -> None:
    scores = _scores(log, most)
    rows = len(scores["label"])
    if not rows:
        console.print("No request has got its label yet.", highlight=False)
        return
    by_all = ~np.isnan(scores["offline"])
    compared = int(by_all.sum())
    newest = "the newest " if _held(log, OUTCOMES) > rows else ""
    title = f"{newest}{rows:,} labelled requests"
    if 0 < compared < rows:
        title = f"{compared:,} labelled requests that all models scored, of {newest}{rows:,}"
        scores = {name: values[by_all] for name, values in scores.items()}
    table = _table("model", right=("AUC", "log-loss", "Brier", "F1"))
    for name in _SHOWN if compared else ("online",):
        guesses = scores["probability" if name == "ensemble" else name]
        card = scorecard(scores["label"], guesses)
        auc = "-" if card.auc is None else f"{card.auc:.4f}"
        table.add_row(name, auc, f"{card.log_loss:.4f}", f"{card.brier:.4f}", f"{card.f1:.4f}")
    console.print(title, highlight=False)
    console.print(table)
    console.print(_base_rate(scores["label"]), highlight=False)


def _base_rate(labels: Floats) -> str:
    """The share of label 1, and the log-loss of a model that always answers it."""
    rate = float(labels.mean())
    return f"Label 1: {rate:.2%}; to answer always that has log-loss {constant_log_loss(rate):.4f}"


def _scores(log: Log, most: int) -> dict[str, Floats]:
    """The columns of outcomes that the summary needs, 40 bytes a row; NaN for a missing value."""
    columns = {name: array("d") for name in _Scored.__struct_fields__}
    put = [column.append for column in columns.values()]
    for one in _newest(log, OUTCOMES, _Scored, most):
        for append, value in zip(put, msgspec.structs.astuple(one), strict=True):
            append(math.nan if value is None else value)
    return {name: np.asarray(column) for name, column in columns.items()}


def print_fits(console: Console, decisions: list[FitRecord]) -> None:
    """Print one line for each boundary, and below them why there was no model.

    Of boundaries that were skipped one after the other the last one stands for all.
    """
    titles = [decision for decision in decisions if decision.status in TITLES]
    decisions = [decision for decision in decisions if decision.status not in TITLES]
    promoted = sum(decision.status == "promoted" for decision in decisions)
    table = _table("boundary", "decision", "model", right=("rows", "log-loss", "champion's"))
    reasons = _table("boundary", "reason", right=())
    reasons.show_header = False
    for one, others in _with_skipped(decisions):
        boundary = format_time(one.boundary)
        table.add_row(
            boundary,
            one.status,
            one.model or (f"and {others:,} before" if others else "-"),
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
    if titles:
        console.print("Decisions on the title, by evidence on live labels:", highlight=False)
        console.print(_titles_table(titles))


def _titles_table(titles: list[FitRecord]) -> Table:
    table = _table("labels up to", "decision", "champion", "reason", right=())
    for one in titles:
        table.add_row(format_time(one.time), one.status, one.model, one.reason)
    return table


def _with_skipped(decisions: list[FitRecord]) -> Iterator[tuple[FitRecord, int]]:
    """Each decision, those skipped right before a skipped one left out, and how many these were."""
    others = 0
    for one, later in pairwise([*decisions, None]):
        assert one is not None
        if one.status == "skipped" and later is not None and later.status == "skipped":
            others += 1
        else:
            yield one, others
            others = 0


def _table(*left: str, right: Sequence[str]) -> Table:
    """A table that folds its cells in a narrow terminal, without losing text."""
    table = Table(box=None)
    for heading in (*left, *right):
        table.add_column(heading, justify="right" if heading in right else "left", overflow="fold")
    return table


def _held(log: Log, topic: str) -> int:
    """Number of records that the topic holds."""
    return sum(log.end(topic, p) - log.start(topic, p) for p in range(log.partitions(topic)))


def _newest(log: Log, topic: str, kind: type[T], most: int) -> Iterator[T]:
    """The newest records of each partition, so many in all at most."""
    decode = msgspec.json.Decoder(kind).decode
    partitions = log.partitions(topic)
    for partition in range(partitions):
        end = log.end(topic, partition)
        offset = max(log.start(topic, partition), end - most // partitions)
        while offset < end:
            records = log.read(topic, partition, offset, max_records=min(end - offset, 10_000))
            try:
                read = [decode(record.value) for record in records]
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                read = [decoded(topic, partition, record, kind) for record in records]
            yield from read
            offset += len(records)
