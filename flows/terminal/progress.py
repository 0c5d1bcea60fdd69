"""Progress of a running flow: a bar in a terminal, else a line every three seconds."""

import threading
import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

from flows.terminal.console import Bar
from flows.terminal.json_lines import tell
from flows.terminal.time_format import format_time
from state.outputs.records import Losses

_LINE_EVERY_S = 3.0
_BAR_EVERY_S = 0.2
_ALL_MODELS_WIDTH = 130


class RunProgress:
    """Counts records and shows event time, speed and the models' log-loss so far.

    Args:
        console: Console to print to.
        total: Total number of records to read.
    """

    def __init__(self, console: Console, total: int) -> None:
        self._console, self._total = console, total
        self._lock = threading.Lock()
        self._done = 0
        self._losses: dict[int, Mapping[str, Losses]] = {}
        self._compared: dict[str, Losses] = {}
        self._event_time = 0
        self._waiting = False
        self._shown = time.monotonic()
        self._shown_done = 0
        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_interactive,  # else it ends with an empty line
        )
        self._task = self._bar.add_task("starting", total=total, figures="")
        if console.is_terminal and total:
            self._bar.start()

    def advance(
        self, partition: int, records: int, event_time: int, losses: Mapping[str, Losses]
    ) -> None:
        """Count records of one partition, and refresh the display if it is due."""
        with self._lock:
            self._done += records
            self._event_time = max(self._event_time, event_time)
            before = self._losses.get(partition, {})
            self._losses[partition] = losses
            self._compare(before, losses)
            every = _BAR_EVERY_S if self._console.is_terminal else _LINE_EVERY_S
            since = time.monotonic() - self._shown
            if since >= every:
                self._show(since)

    @property
    def reached(self) -> str:
        """Event time and number of records so far, as text."""
        at = f"at {format_time(self._event_time)}" if self._event_time else "before the first event"
        return f"{at}, {self._done:,} of {self._total:,} records read"

    def waiting(self) -> None:
        """Print, once, that all records have been read."""
        with self._lock:
            before, self._waiting = self._waiting, True
        if not before:
            line = "Up to date: waiting for new events, Ctrl-C ends it."
            tell("up_to_date", line, self.say, records=self._done)

    def say(self, line: str) -> None:
        """Print one line, above the bar if there is one."""
        self._console.print(line, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Remove the bar."""
        self._bar.stop()

    def _compare(self, before: Mapping[str, Losses], now: Mapping[str, Losses]) -> None:
        """Count the labels since, if every model there is scored all of these requests."""
        since = {name: _since(before.get(name), of) for name, of in now.items()}
        counts = {one.n for one in since.values()}
        if len(counts) != 1 or 0 in counts:
            return
        if since.keys() > self._compared.keys():  # a model more: it has not scored those of before
            self._compared = {}
        if since.keys() >= self._compared.keys():
            self._compared = {n: _together(self._compared.get(n), of) for n, of in since.items()}

    def _show(self, since: float) -> None:
        speed = (self._done - self._shown_done) / since
        self._shown, self._shown_done = time.monotonic(), self._done
        self._total = max(self._total, self._done)  # records may be ingested during the run
        day = "no event yet"
        if self._event_time:
            day = format_time(self._event_time)
        losses = _figures(self._compared)
        if self._console.is_terminal and self._console.width < _ALL_MODELS_WIDTH:
            losses = losses.split("  ")[0]
        figures = f"{speed:>7,.0f}/s  log-loss {losses}"
        if self._console.is_terminal:
            self._bar.update(
                self._task,
                completed=self._done,
                total=self._total,
                description=day,
                figures=figures,
            )
        else:
            tell(
                "progress",
                f"{day}  {self._done:>9,} of {self._total:,} records  {figures}",
                self.say,
                event_time=self._event_time,
                records=self._done,
                of=self._total,
                records_per_s=round(speed),
                log_loss={name: of.log_loss for name, of in self._compared.items() if of.n},
            )


def _since(before: Losses | None, now: Losses) -> Losses:
    if before is None:
        return now
    n = now.n - before.n
    of = now.n * now.log_loss - before.n * before.log_loss
    return Losses(n, of / n if n else 0.0, 0.0)


def _together(one: Losses | None, other: Losses) -> Losses:
    if one is None or not one.n:
        return other
    n = one.n + other.n
    return Losses(n, (one.n * one.log_loss + other.n * other.log_loss) / n, 0.0)


def _figures(losses: Mapping[str, Losses]) -> str:
    """Mean log-loss of each model.

    Example:
        >>> _figures({"ensemble": Losses(4, 0.35, 0.1), "online": Losses(4, 0.4, 0.1)})
        'ensemble .350  online .400'
    """
    known = {name: of for name, of in losses.items() if of.n}
    parts = [f"{name} {of.log_loss:.3f}".replace(" 0.", " .") for name, of in known.items()]
    return "  ".join(parts) or "none yet"
