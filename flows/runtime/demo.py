"""The history that a built-in stream brings along: what an empty home is filled with."""

import fcntl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, TextColumn

from flows.home.home import Home, read_note
from flows.ingest import append_history
from flows.terminal.console import Bar
from state.atomic_write import write_atomically
from state.events import HOUR_US
from state.log import EVENTS, Log
from state.stream import Stream

FLIGHTS_UNTIL = datetime(2013, 4, 1, tzinfo=UTC)
_QUOTES_HOURS = 72.0
_QUOTES_PER_S = 2.5
_QUOTES_SEED = 5


class Demo(msgspec.Struct, frozen=True):
    """The history that a home was filled with.

    Attributes:
        stream: Whose.
        until: Event time (µs) before which it ends.
        complete: Whether all of it is in the log.
    """

    stream: str
    until: int
    complete: bool


def fill(
    home: Home,
    log: Log,
    stream: Stream,
    until: datetime | None,
    console: Console,
    stop: threading.Event,
) -> None:
    """Put the stream's history in the log if the log is empty, or go on where that was broken off.

    Args:
        home: Holds a note of what was put there.
        log: Its log.
        stream: A built-in stream; for any other nothing is done.
        until: Where the history ends; None: where it ended before, or the default.
        console: For progress.
        stop: Set, it ends the process here with exit code 0.

    Raises:
        ValueError: `until` is asked for, and the stream has no history or the log something else.
        SystemExit: A stop was asked for.
    """
    with _alone(home.root / "demo.lock"):
        note = home.root / "demo.json"
        had = read_note(note, Demo)
        empty = not any(log.end(EVENTS, p) for p in range(log.partitions(EVENTS)))
        if had is None and not empty:
            if until is not None:
                msg = "--until must go with an empty home or one that holds the demo only"
                raise ValueError(msg)
            return
        wanted = Demo(stream.name, _until_us(stream, until, had), complete=False)
        if had is not None and had.complete and wanted.until <= had.until:
            return
        history = _history(stream, wanted.until)
        if history is None:
            if until is not None:
                msg = f"--until must go with a built-in stream; got stream {stream.name!r}"
                raise ValueError(msg)
            return
        write_atomically(note, msgspec.json.encode(wanted))
        _append(log, _until_stopped(history, console, stop), stream, console)
        write_atomically(note, msgspec.json.encode(msgspec.structs.replace(wanted, complete=True)))


def _until_us(stream: Stream, until: datetime | None, had: Demo | None) -> int:
    if until is not None:
        return round(until.timestamp() * 1e6)
    if had is not None:
        return had.until
    if stream.name == "quotes":
        from flows.streams.quotes_market import START_US  # noqa: PLC0415 - only that stream's

        return START_US + round(_QUOTES_HOURS * HOUR_US)
    return round(FLIGHTS_UNTIL.timestamp() * 1e6)


def _history(stream: Stream, until_us: int) -> Iterator[bytes] | None:
    """A built-in stream's events; the modules are imported when they are wanted."""
    if stream.name == "flights":
        from flows.streams import flights_history  # noqa: PLC0415

        return flights_history.events(until_us)
    if stream.name == "quotes":
        from flows.streams.quotes_market import START_US, Market  # noqa: PLC0415

        market = Market(seed=_QUOTES_SEED, rate_per_s=_QUOTES_PER_S)
        return market.events((until_us - START_US) / HOUR_US)
    return None


def _append(log: Log, history: Iterator[bytes], stream: Stream, console: Console) -> None:
    columns = (
        TextColumn("filling the log"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:,}"),
    )
    hidden = not console.is_interactive
    with Bar(*columns, console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task("", total=None)
        done = append_history(
            log, history, stream.peek(), on_progress=lambda n: progress.update(task, completed=n)
        )
    console.print(f"The log holds {done:,} events of stream {stream.name!r}.", highlight=False)


def _until_stopped(
    history: Iterator[bytes], console: Console, stop: threading.Event
) -> Iterator[bytes]:
    for event in history:
        if stop.is_set():
            console.print("Stopped while filling the log; run again to go on.", highlight=False)
            raise SystemExit(0)
        yield event


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Let one process in at a time."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
