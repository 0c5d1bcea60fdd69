"""Ingest: append files of events, a generated history, or foreign topics to the log.

`python -m bytewax.run flows.ingest` ingests foreign topics; see `flows.intake.foreign_ingest`.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

from flows.terminal.loading import loading

with loading():
    from bytewax.dataflow import Dataflow

    from flows.errors.bytewax_errors import one_line_errors
    from flows.home.configuration import load_settings
    from flows.home.home import environment_home
    from flows.home.wall_clock import microseconds_now
    from flows.intake.event_files import Line, read_lines
    from flows.intake.foreign_ingest import foreign_flow
    from flows.intake.merged_files import TimedFile, merged
    from flows.terminal.console import TerminalConsole
    from state.ingest.append_time import LOOKAHEAD, NEVER, append_times
    from state.log import EVENTS, MAX_VALUE_BYTES, Entry, Log, newest_append_time, partition_of
    from state.log.batches import batches

Peek = Callable[[bytes], tuple[int | None, bytes]]
"""Event time (microseconds UTC, None if the value is not an event) and key of a value."""

_BATCH = 10_000
_BATCH_BYTES = 8 * 2**20
# Bytes of a full lookahead of events of the largest size.
_MAX_WAITING_BYTES = (LOOKAHEAD + 1) * MAX_VALUE_BYTES


class _Timed(NamedTuple):
    """A line as an entry, with its position in the file.

    Attributes:
        append_time: Append time that it would get in an empty log.
        entry: Entry to append to this log.
        position: Bytes of the file up to the end of the line.
    """

    append_time: int
    entry: Entry
    position: int


def flow() -> Dataflow:
    """The dataflow that bytewax runs: foreign topics, by the mapping of the settings."""
    with one_line_errors() as stop:
        say = partial(TerminalConsole(stderr=True).print, highlight=False, soft_wrap=True)
        return foreign_flow(load_settings(), environment_home(), say, stop)


def ingest(
    log: Log,
    path: Path,
    peek: Peek,
    *,
    topic: str = EVENTS,
    now: int | None = None,
    tolerance: int = 0,
    on_ahead: Callable[[bytes, int], None] | None = None,
    on_progress: Callable[[int, int, int], None] | None = None,
) -> int:
    """Append every line of a file, valid or not; the shard will refuse invalid ones.

    Append times are those of an export, else derived from the order of the file (see
    `state.ingest.append_time`). None is ahead of the clock: `now`, or the log's newest append time
    if this machine's clock was set back. A time ahead of the clock beyond the tolerance is not used
    as append time, and the shard quarantines such an event. Records appended before an error or an
    interrupt stay; if the file is ingested again, they are appended again, and the shard drops the
    duplicates.

    Args:
        log: Log with `topic`.
        path: File as `flows.intake.event_files.read_lines` takes it.
        peek: Returns event time and key of a value; the key decides the partition.
        topic: Topic to append to.
        now: Current time, microseconds UTC; None: this machine's clock.
        tolerance: A time up to this (µs) ahead of the clock is lowered to the clock.
        on_ahead: Called with each value that is further ahead, and its time.
        on_progress: Called after each batch with bytes read, bytes in all and records appended.

    Returns:
        The number of records appended.

    Raises:
        OSError: The file or the log cannot be read or written.
        ValueError: A line is larger than the log accepts.
    """
    size = path.stat().st_size
    records = 0
    floor = newest_append_time(log, topic)
    clock = _Clock(max(floor, microseconds_now() if now is None else now), tolerance, on_ahead)
    for batch in _batches(read_lines(path), peek, floor, clock):
        _append(log, topic, [one.entry for one in batch], None)
        records += len(batch)
        if on_progress:
            on_progress(batch[-1].position, size, records)
    return records


class File(NamedTuple):
    """One of several files to ingest.

    Attributes:
        name: Name shown to people.
        read: Returns its lines from the first on.
        on_ahead: See `ingest`.
        on_time: Called with each event time, up to now, and the append time that the order of the
            file gives it.
    """

    name: str
    read: Callable[[], Iterator[Line]]
    on_ahead: Callable[[bytes, int], None] | None = None
    on_time: Callable[[int, int], None] | None = None


def ingest_merged(
    log: Log,
    files: Sequence[File],
    peek: Peek,
    *,
    topic: str = EVENTS,
    now: int | None = None,
    tolerance: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[int]:
    """Append the lines of several files, merged by time, each file in its own order.

    So labels in one file come after their requests in another. Lines of equal time come in the
    order of the files.

    Args:
        log: See `ingest`.
        files: Files, each roughly sorted by time; a line older than the lines before it in its file
            comes right after them.
        peek: See `ingest`.
        topic: See `ingest`.
        now: See `ingest`.
        tolerance: See `ingest`.
        on_progress: Called after each batch with bytes read and records appended.

    Returns:
        The number of records appended from each file.

    Raises:
        OSError: See `ingest`.
        ValueError: A line is larger than the log accepts, or too many files overlap in time.
    """
    floor = newest_append_time(log, topic)
    latest = max(floor, microseconds_now() if now is None else now)
    room = _MAX_WAITING_BYTES // max(len(files), 1)
    timed = [
        _TimedFile(file, partial(_timed, peek=peek, floor=floor, room=room), latest, tolerance)
        for file in files
    ]
    is_alone = len(files) == 1
    records = merged(
        [TimedFile(one.file.name, 0 if is_alone else one.since(), one.read) for one in timed]
    )
    for batch in batches(records, _size_of, max_items=_BATCH, max_bytes=_BATCH_BYTES):
        for number, (_, _, position) in batch:
            timed[number].take(position)
        _append(log, topic, [entry for _, (_, entry, _) in batch], None)
        if on_progress:
            on_progress(sum(one.done for one in timed), sum(one.records for one in timed))
    return [one.records for one in timed]


class _TimedFile:
    """A file whose lines get append times, and the part of it that was appended."""

    def __init__(
        self, file: File, timed: Callable[..., Iterator[_Timed]], now: int, tolerance: int
    ) -> None:
        self.file = file
        self._timed, self._now, self._tolerance = timed, now, tolerance
        self.records = self.done = 0

    def since(self) -> int:
        """Append time of the first line; 0 if there is none."""
        with closing(self._read(None)) as first:
            return next((one.append_time for one in first), 0)

    def read(self) -> Generator[_Timed]:
        """All lines."""
        return self._read(self.file)

    def take(self, position: int) -> None:
        """Count the next line as appended."""
        self.records, self.done = self.records + 1, position

    def _read(self, told: File | None) -> Generator[_Timed]:
        clock = _Clock(self._now, self._tolerance, None)
        if told is not None:
            clock = clock._replace(on_ahead=told.on_ahead, on_time=told.on_time)
        yield from self._timed(self.file.read(), clock=clock)


def _size_of(numbered: tuple[int, _Timed]) -> int:
    return _size(numbered[1])


def append_history(
    log: Log,
    events: Iterable[bytes],
    peek: Peek,
    *,
    topic: str = EVENTS,
    on_progress: Callable[[int], None] | None = None,
) -> int:
    """Append a deterministic history, continuing after the records that the log holds.

    Args:
        log: Log with `topic`, which is empty or holds the begin of the same history.
        events: The whole history from its begin.
        peek: Returns event time and key of a value; the key decides the partition.
        topic: Topic to append to.
        on_progress: Called after each batch with the number of events in the log.

    Returns:
        The number of events in the history.

    Raises:
        SequenceConflictError: The log holds other records.
    """
    events_done = 0
    next_offsets = [0] * log.partitions(topic)
    for batch in _batches((Line(event, None, 0) for event in events), peek, 0, _NO_CLOCK):
        _append(log, topic, [one.entry for one in batch], next_offsets)
        events_done += len(batch)
        if on_progress:
            on_progress(events_done)
    return events_done


class _Clock(NamedTuple):
    """The latest accepted time, and the callbacks for later ones and for all others."""

    now: int
    tolerance: int
    on_ahead: Callable[[bytes, int], None] | None
    on_time: Callable[[int, int], None] | None = None

    def believed(self, time: int | None) -> int | None:
        """The time, at most now; None if there is none or it is too far ahead."""
        if time is None or time > self.now + self.tolerance:
            return None
        return min(time, self.now)

    def tell(self, value: bytes, times: Iterable[int | None]) -> None:
        """Report a value with a time that is too far ahead."""
        ahead = max((time for time in times if time is not None), default=0)
        if self.on_ahead is not None and ahead > self.now + self.tolerance:
            self.on_ahead(value, ahead)


_NO_CLOCK = _Clock(NEVER, 0, None)


def _batches(
    lines: Iterable[Line], peek: Peek, floor: int, clock: _Clock
) -> Iterator[list[_Timed]]:
    timed = _timed(lines, peek, floor, clock)
    return batches(timed, _size, max_items=_BATCH, max_bytes=_BATCH_BYTES)


def _size(timed: _Timed) -> int:
    return len(timed.entry.value) + len(timed.entry.key)


def _timed(
    lines: Iterable[Line], peek: Peek, floor: int, clock: _Clock, room: int = _MAX_WAITING_BYTES
) -> Iterator[_Timed]:
    """Each line as an entry, with its position in the file; `room` bounds the lookahead's bytes."""
    waiting: deque[tuple[Line, bytes, int | None, int | None]] = deque()
    size = 0

    def times() -> Iterator[int | None]:
        nonlocal size
        for line in lines:
            event_time, key = peek(line.value)
            written, happened = clock.believed(line.append_time), clock.believed(event_time)
            clock.tell(line.value, (line.append_time, event_time))
            waiting.append((line, key, written, happened))
            size += len(line.value) + len(key)
            if written is not None:
                yield written
            else:
                yield event_time if happened is None else happened

    def is_full() -> bool:
        return size > room

    for reconstructed in append_times(times(), 0, clock.now, is_full):
        line, key, written, happened = waiting.popleft()
        if happened is not None and clock.on_time is not None:
            clock.on_time(happened, reconstructed)
        size -= len(line.value) + len(key)
        append_time = max(reconstructed, floor) if written is None else written
        entry = Entry(append_time, key, line.value)
        yield _Timed(reconstructed if written is None else written, entry, line.position)


def _append(log: Log, topic: str, entries: list[Entry], next_offsets: list[int] | None) -> None:
    partitions = log.partitions(topic)
    routed: defaultdict[int, list[Entry]] = defaultdict(list)
    for entry in entries:
        routed[partition_of(entry.key, partitions)].append(entry)
    for partition, part in routed.items():
        if next_offsets is None:
            log.append(topic, partition, part)
        else:
            sequence = next_offsets[partition]
            next_offsets[partition] = sequence + len(part)
            gone = max(0, log.start(topic, partition) - sequence)  # were trimmed
            if left := part[gone:]:
                log.append(topic, partition, left, sequence=sequence + gone)
