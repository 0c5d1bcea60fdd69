"""The built-in history of a stream, with which an empty home is filled."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
from rich.console import Console
from rich.progress import BarColumn, TextColumn

from flows.home.home import Home, read_note
from flows.ingest import append_history
from flows.terminal.console import Bar
from state.atomic_write import write_atomically
from state.events import HOUR_US
from state.log import EVENTS, Log
from state.process_lock import locked
from state.stream import Stream

FLIGHTS_UNTIL = datetime(2013, 4, 1, tzinfo=UTC)
_QUOTES_HOURS = 72.0
_QUOTES_PER_S = 2.5
_QUOTES_SEED = 5


class Demo(msgspec.Struct, frozen=True):
    """A note of the history that a home was filled with.

    Attributes:
        stream: Name of the stream.
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
    """Append the stream's history to an empty log, or resume an interrupted call.

    Args:
        home: Home that keeps a note of the history.
        log: The home's log.
        stream: A built-in stream; nothing is done for any other.
        until: End of the history; None: the noted end, or the default.
        console: Console that shows progress.
        stop: If set, the process ends here with exit code 0.

    Raises:
        ValueError: `until` is given, but the stream has no history or the log has other records.
        SystemExit: A stop was requested.
    """
    home.root.mkdir(parents=True, exist_ok=True)
    with locked(home.root / "demo.lock"):
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
        from flows.streams.quotes_market import START_US  # noqa: PLC0415 - needed for it only

        return START_US + round(_QUOTES_HOURS * HOUR_US)
    return round(FLIGHTS_UNTIL.timestamp() * 1e6)


def _history(stream: Stream, until_us: int) -> Iterator[bytes] | None:
    """The events of a built-in stream; its modules are imported on demand."""
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
            console.print("Stopped while filling the log; run again to resume.", highlight=False)
            raise SystemExit(0)
        yield event
