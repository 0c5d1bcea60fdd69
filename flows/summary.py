"""What a person sees when a flow has ended: how good the models were, and what became of what."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TypeVar

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from flows.home import Home
from models.registry import Published
from models.scorecard import scorecard
from state.log import Log

T = TypeVar("T")
_SHOWN = ("online", "offline", "residual", "ensemble")


class _Scored(msgspec.Struct, frozen=True, gc=False):
    """What the summary needs of an outcome."""

    probability: float
    online: float
    offline: float | None
    residual: float | None
    label: int


class _Buried(msgspec.Struct, frozen=True, gc=False):
    reason: str


def print_summary(console: Console, log: Log, decisions: list[Published], home: Home) -> None:
    """Print the tables of models, fits and dead letters, and where the results lie."""
    console.print(_quality(log))
    if decisions:
        console.print(fits_table(decisions))
    reasons = Counter(letter.reason for letter in _all(log, "dead_letters", _Buried))
    counted = ", ".join(f"{n:,} {reason}" for reason, n in reasons.most_common()) or "none"
    console.print(f"Dead letters: {counted}", highlight=False)
    alerts = sum(log.end("alerts", p) for p in range(log.partitions("alerts")))
    console.print(f"Alerts: {alerts or 'none'}", highlight=False)
    console.print(
        f"Results: {home.root}  "
        "(headwater export outcomes --out outcomes.parquet, headwater models)",
        highlight=False,
        soft_wrap=True,
    )


def _quality(log: Log) -> Table | str:
    scored = list(_all(log, "outcomes", _Scored))
    if not scored:
        return "No request has got its label yet."
    by_all = [one for one in scored if one.offline is not None]
    rows = by_all or scored
    title = f"{len(rows):,} labelled requests"
    if by_all and len(by_all) < len(scored):
        title += f" that all models scored, of {len(scored):,}"
    table = Table(title=title, title_justify="left", box=None)
    for heading in ("model", "AUC", "log-loss", "Brier", "F1"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    labels = np.array([one.label for one in rows], np.float64)
    for name in _SHOWN if by_all else ("online",):
        field = "probability" if name == "ensemble" else name
        card = scorecard(labels, np.array([getattr(one, field) for one in rows], np.float64))
        auc = "-" if card.auc is None else f"{card.auc:.4f}"
        table.add_row(name, auc, f"{card.log_loss:.4f}", f"{card.brier:.4f}", f"{card.f1:.4f}")
    return table


def fits_table(decisions: list[Published]) -> Table:
    """One line for each boundary."""
    promoted = sum(decision.status == "promoted" for decision in decisions)
    title = f"Boundaries: {len(decisions)}, models promoted: {promoted}"
    table = Table(title=title, title_justify="left", box=None)
    for heading in ("boundary", "decision", "model", "rows", "log-loss", "champion's"):
        right = heading in {"rows", "log-loss", "champion's"}
        table.add_column(heading, justify="right" if right else "left", no_wrap=True)
    for one in decisions:
        table.add_row(
            f"{datetime.fromtimestamp(one.boundary / 1e6, UTC):%Y-%m-%d %H:%M}",
            one.status,
            one.model or "-",
            f"{one.window.rows:,}" if one.window else "-",
            f"{one.metrics.log_loss:.4f}" if one.metrics else "-",
            f"{one.champion_metrics.log_loss:.4f}" if one.champion_metrics else "-",
        )
        if one.status in {"failed", "skipped"}:
            table.add_row("", one.reason.splitlines()[0][:70])
    return table


def _all(log: Log, topic: str, kind: type[T]) -> Iterator[T]:
    decode = msgspec.json.Decoder(kind).decode
    for partition in range(log.partitions(topic)):
        offset = log.start(topic, partition)
        while records := log.read(topic, partition, offset, max_records=10_000):
            yield from (decode(record.value) for record in records)
            offset += len(records)
