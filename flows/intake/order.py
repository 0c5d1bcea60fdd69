"""The order of a file's records: a run needs them roughly sorted by time."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from flows.intake.event_files import Line
from flows.terminal.time_format import format_time
from state.durations import Duration
from state.events import HOUR_US, MINUTE_US
from state.ingest.append_time import LOOKAHEAD
from state.plurals import counted
from state.stream import Stream

_LEAST_STEPS = 10
_BEHIND_IN = 10
_LATEST_US = 2**63 - 1


class Order:
    """Watches the times of a file's events, in the order of the file.

    An event counts as behind if it is so much older than those before it that a run would refuse
    it as late, or that the label of its request would be silence already.

    Args:
        stream: Stream of the events.
    """

    def __init__(self, stream: Stream) -> None:
        self._limit = _limit(stream)
        self._forward = self._backward = self._behind = 0
        self._last = self._farthest = 0

    def see(self, time: int, append_time: int) -> None:
        """Watch the next event.

        Args:
            time: Time of the event, µs UTC.
            append_time: The append time that the order of the file gives it, µs UTC.
        """
        if time > self._last:
            self._forward += 1
        elif time < self._last:
            self._backward += 1
        self._last = time
        if time < append_time - self._limit:
            self._behind += 1
            self._farthest = max(self._farthest, append_time - time)

    def fault(self, one_in: int) -> str:
        """A clause about events out of order; empty if fewer than one in so many are behind."""
        steps = self._forward + self._backward
        if steps > _LEAST_STEPS and self._backward * 10 >= steps * 9:
            return "the newest come first"
        # A single time far ahead makes some of those after it look as if they came late.
        if self._behind < LOOKAHEAD or self._behind * one_in < steps:
            return ""
        farthest = _rounded(self._farthest)
        return f"{self._behind:,} are older than those before them, by up to {farthest}"


def behind_log(times: Sequence[int], newest: int, stream: Stream) -> str:
    """A clause about events that come too late after those in the log; empty: few do.

    Args:
        times: Times of a file's first events, µs UTC.
        newest: The log's newest append time, µs UTC; 0 if it is empty.
        stream: Stream of the events.
    """
    behind = [time for time in times if time < newest - _limit(stream)]
    if len(behind) * _BEHIND_IN < max(len(times), 1):
        return ""
    are = "is" if len(behind) == 1 else "are"
    return (
        f"{len(behind):,} of the first {counted(len(times), 'event')} {are} older than the newest "
        f"in the log, {format_time(newest)}, by up to {_rounded(newest - min(behind))}"
    )


def _limit(stream: Stream) -> int:
    """The longest time after newer events at which an event still counts, µs."""
    delay = max(Duration.parse(stream.label.delay), MINUTE_US)
    return Duration.parse(stream.lateness) + min(delay, stream.horizon_us)


def _rounded(length: int) -> Duration:
    unit = HOUR_US if length > 2 * HOUR_US else MINUTE_US
    return Duration((length + unit // 2) // unit * unit)


def sort_lines(
    lines: Iterable[Line], peek: Callable[[bytes], tuple[int | None, bytes]], folder: Path
) -> Path:
    """Write records sorted by event time, however many, in little memory.

    Records of one time stay in their order; those without a time stay after the one before.

    Args:
        lines: Records, none of them of an export.
        peek: Returns the event time of a value.
        folder: Empty folder for the result, and files on the way to it.

    Returns:
        A file of lines.

    Raises:
        ValueError: A record is of an export, which has an order already.
    """
    with closing(sqlite3.connect(folder / "lines.sqlite", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = OFF")
        db.execute("PRAGMA synchronous = OFF")
        db.execute(
            "CREATE TABLE lines (time INTEGER, number INTEGER, value BLOB, "
            "PRIMARY KEY (time, number)) WITHOUT ROWID"
        )
        db.execute("BEGIN")
        db.executemany("INSERT INTO lines VALUES (?, ?, ?)", _timed(lines, peek))
        db.execute("COMMIT")
        path = folder / "sorted.jsonl"
        with path.open("wb") as file:
            for (value,) in db.execute("SELECT value FROM lines ORDER BY time, number"):
                file.write(value.replace(b"\n", b" ") + b"\n")
    return path


def _timed(
    lines: Iterable[Line], peek: Callable[[bytes], tuple[int | None, bytes]]
) -> Iterator[tuple[int, int, bytes]]:
    last = 0
    for number, line in enumerate(lines):
        if line.append_time is not None:
            msg = "--sort must go with files of others; got an export, whose order is the log's"
            raise ValueError(msg)
        time, _ = peek(line.value)
        last = time if time is not None and 0 <= time <= _LATEST_US else last
        yield last, number, line.value
