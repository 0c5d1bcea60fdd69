"""The view as lines for a terminal."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flows.reports.estimates import estimate_lines
from flows.terminal.time_format import format_time
from flows.watch.view import ModelRow, Problem, View

_STYLES = {"page": "bold white on red", "ticket": "bold black on yellow"}
_BLOCKS = "▁▂▃▄▅▆▇█"
_SERIES = 24
_BAR = 20
_ALERTS = 5


def rendered(view: View) -> RenderableType:
    """Everything, problems first; each line folds where the terminal is narrow."""
    return Group(
        _head(view),
        *_problems(view.problems),
        Text(""),
        _partitions(view),
        Text(""),
        _models(view.models),
        *_shares(view),
        Text(""),
        *map(Text, estimate_lines(view.estimates)),
        *_lines(view),
    )


def sparkline(series: Sequence[float | None]) -> str:
    """A line of blocks, the lowest value the lowest block; a gap where there is none.

    Example:
        >>> sparkline([0.4, 0.5, None, 0.6])
        '▁▅ █'
        >>> sparkline([0.5])
        '▁'
    """
    there = [value for value in series if value is not None]
    if not there:
        return ""
    low, wide = min(there), max(there) - min(there)
    return "".join(" " if one is None else _block(one - low, wide) for one in series)


def _block(above: float, wide: float) -> str:
    return _BLOCKS[round(above / wide * (len(_BLOCKS) - 1)) if wide else 0]


def span(seconds: float | None) -> str:
    """A duration in the largest unit that keeps a digit.

    Example:
        >>> span(None), span(2.5), span(90), span(7_200), span(400_000)
        ('-', '2.5 s', '90 s', '2.0 h', '4.6 d')
    """
    if seconds is None:
        return "-"
    if abs(seconds) < 600:
        return f"{seconds:.1f} s" if abs(seconds) < 10 else f"{seconds:.0f} s"
    hours = seconds / 3600
    if abs(hours) < 1:
        return f"{seconds / 60:.0f} min"
    return f"{hours:.1f} h" if abs(hours) < 48 else f"{hours / 24:.1f} d"


def _head(view: View) -> Text:
    at = datetime.fromtimestamp(view.at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    old = f", log read {span(view.read_age_s)} ago" if view.read_age_s else ""
    rate = "-" if view.read_per_s is None else f"{view.read_per_s:,.0f}"
    line = f"{view.stream} ({view.backend})  {at}{old}  {rate} records/s read"
    return Text(line, style="bold")


def _problems(problems: Iterable[Problem]) -> list[Text]:
    lines = [Text(f" {one.name}: {one.text} ", style=_STYLES[one.severity]) for one in problems]
    return lines or [Text("All is well.", style="green")]


def _table(*headings: str, left: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        justify = "left" if heading in left else "right"
        table.add_column(heading, justify=justify, overflow="fold")  # type: ignore[arg-type]
    return table


def _partitions(view: View) -> Table:
    table = _table("partition", "lag", "left", "end", "checkpoint", "model", left=("model",))
    for one in view.partitions:
        table.add_row(
            str(one.partition),
            Text(span(one.lag_s), style="red" if one.lag_s > 60 else ""),
            f"{one.lag:,}",
            f"{one.end:,}",
            span(one.checkpoint_age_s),
            one.model or "-",
        )
    return table


def _models(models: Iterable[ModelRow]) -> Table:
    left = ("model", "tick by tick")
    table = _table("model", "log-loss", "newest tick", "labels", "tick by tick", left=left)
    for one in models:
        line = sparkline(one.series[-_SERIES:])
        table.add_row(one.model, _loss(one.total), _loss(one.recent), f"{one.labels:,}", line)
    return table


def _loss(loss: float | None) -> str:
    return "-" if loss is None else f"{loss:.4f}"


def _shares(view: View) -> list[RenderableType]:
    if not view.shares:
        return []
    table = _table("share", "", " ", left=("share", " "))
    for name, share in view.shares.items():
        table.add_row(name.replace("_", " "), f"{share:.1%}", "█" * max(1, round(share * _BAR)))
    return [Text(""), table]


def _lines(view: View) -> list[Text]:
    letters = ", ".join(f"{n:,} {reason}" for reason, n in view.dead_letters.items()) or "none"
    fits = ", ".join(f"{n} {decision}" for decision, n in view.fits.items() if n) or "none"
    clocks = ", ".join(f"{source or '-'} {span(lag)}" for source, lag in view.sources.items())
    disk = "-"
    if view.disk_free is not None and view.disk_size:
        disk = f"{view.disk_free / 2**30:,.1f} of {view.disk_size / 2**30:,.1f} GiB free"
    lines = [
        f"dead letters: {letters}",
        f"fits: {fits}; champion: {view.champion or 'none'}",
        f"least lag of the worst clocks: {clocks or '-'}",
        f"disk: {disk}",
    ]
    lines += [
        f"{one.role} {one.pid}: {one.memory_bytes / 2**20:,.0f} MiB, {span(one.cpu_s)} of "
        f"processor time, {one.descriptors} descriptors, {one.threads} threads"
        for one in view.processes
    ]
    alerts = view.alerts[:_ALERTS]
    lines += [f"alert {format_time(one.time)} {one.kind}: {one.message}" for one in alerts]
    return [Text(line) for line in lines]
