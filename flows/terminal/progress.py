"""Progress of a running flow: a bar in a terminal, else a line every three seconds."""

import threading
import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

from flows.terminal.console import Bar
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
            self._losses[partition] = losses
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
            self.say("Up to date: waiting for new events, Ctrl-C ends it.")

    def say(self, line: str) -> None:
        """Print one line, above the bar if there is one."""
        self._console.print(line, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Remove the bar."""
        self._bar.stop()

    def _show(self, since: float) -> None:
        speed = (self._done - self._shown_done) / since
        self._shown, self._shown_done = time.monotonic(), self._done
        self._total = max(self._total, self._done)  # records may be ingested during the run
        day = "no event yet"
        if self._event_time:
            day = format_time(self._event_time)
        losses = _figures(self._losses)
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
            self.say(f"{day}  {self._done:>9,} of {self._total:,} records  {figures}")


def _figures(losses: Mapping[int, Mapping[str, Losses]]) -> str:
    """Mean log-loss of each model over all partitions.

    Example:
        >>> _figures({0: {"online": Losses(1, 0.2, 0.1)}, 1: {"online": Losses(3, 0.4, 0.1)}})
        'online .350'
    """
    names = dict.fromkeys(name for of in losses.values() for name in of)
    parts = []
    for name in names:
        known = [of[name] for of in losses.values() if name in of]
        mean = sum(one.n * one.log_loss for one in known) / sum(one.n for one in known)
        parts.append(f"{name} {mean:.3f}".replace(" 0.", " ."))
    return "  ".join(parts) or "none yet"
