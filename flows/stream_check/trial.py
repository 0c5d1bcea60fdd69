"""Try a stream: run its shards over files of events, in a temporary log."""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from math import isnan
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from flows.ingest import File, ingest_merged
from flows.intake.counted_file import time_notes, zone_note
from flows.intake.dialect import Dialect
from flows.intake.event_files import Line
from flows.intake.hints import hint
from flows.intake.refusals import names_shown
from flows.stream_check.telling_columns import ROWS
from operators.partition.boundaries import Boundaries
from operators.shard.messages import Records
from operators.shard.shard import Shard
from state.admission.label_routing import LabelRouting
from state.admission.no_event import Judge, Refused
from state.admission.shared_ids import SharedIds
from state.events import Event
from state.local_times import LocalTimes
from state.log import EVENTS, Entry, Record, oldest_append_time
from state.log.sqlite import SqliteLog
from state.outputs.records import Alert, DeadLetter
from state.settings import Settings
from state.stream import Stream
from state.stream_functions import StreamFunctionError
from state.user_code import USER_CODE_ERRORS

_READ = 1_000
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _Outcome(msgspec.Struct, frozen=True):
    """The fields of an outcome that are counted."""

    id: str
    event_time: int
    label: int
    label_time: int
    online: float


@dataclass(frozen=True)
class Seen:
    """A request with the vector that was scored.

    Attributes:
        id: Id of the event.
        time: Event time (µs).
        values: Values by column: a number, the name of a level, or None for a missing value.
    """

    id: str
    time: int
    values: dict[str, float | str | None]


@dataclass
class Trial:
    """Results of a trial.

    Attributes:
        events: Number of events, by type.
        letters: Number of dead letters, by reason.
        examples: The first dead letter's detail with its hint, by reason.
        first: The first requests.
        requests: Number of scored requests.
        labels: Labels, in the order they became known.
        guesses: The online model's probabilities of these labels.
        times: Event times (µs) of their requests.
        silent: Number of labels that were known by silence.
        rows: Vectors of the first of these labels' requests, by column.
        span: First and last event time (µs); (0, 0) without events.
        known: Append times (µs) at which the labels became known.
        due: Boundaries (µs) that were reached.
        state_bytes: Size of the state at the end, as a checkpoint holds it, in bytes.
        astray: A line about label events that do not come to their requests; empty: all do.
        alerts: The first alert's message, by kind.
        notes: Lines about the files: columns that no event has, types that only columns tell.
    """

    events: Counter[str] = field(default_factory=Counter)
    letters: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    first: list[Seen] = field(default_factory=list)
    requests: int = 0
    labels: "array[int]" = field(default_factory=lambda: array("b"))
    guesses: "array[float]" = field(default_factory=lambda: array("d"))
    times: "array[int]" = field(default_factory=lambda: array("q"))
    known: "array[int]" = field(default_factory=lambda: array("q"))
    silent: int = 0
    rows: list[dict[str, float | str | None]] = field(default_factory=list)
    span: tuple[int, int] = (0, 0)
    due: set[int] = field(default_factory=set)
    state_bytes: int = 0
    astray: str = ""
    alerts: dict[str, str] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)


def tried(
    stream: Stream,
    settings: Settings,
    files: Mapping[Path, Callable[..., Iterator[Line]]],
    most_requests: int,
    dialect: Dialect,
) -> Trial:
    """Ingest files as `headwater ingest` does, then score, label and learn as a run does.

    No offline model is fitted, and all files it writes are deleted.

    Args:
        stream: The stream's definition.
        settings: Settings for learning and for the boundaries.
        files: Files, each with a function that reads it, as
            `flows.intake.stream_events.read_events` does.
        most_requests: Number of first requests to keep.
        dialect: The conventions by which they are read.

    Raises:
        OSError: A file is unreadable.
        ValueError: A file holds an invalid line.
        StreamFunctionError: A function of the stream raised an error.
    """
    trial = Trial()
    with TemporaryDirectory(prefix="headwater-") as folder, closing(SqliteLog(Path(folder))) as log:
        log.create(EVENTS, settings.partitions or stream.partitions)
        local: dict[Path, LocalTimes] = {}
        taken = [
            File(str(path), partial(_noted, trial, local, path, read))
            for path, read in files.items()
        ]
        ingest_merged(log, taken, stream.peek(), tolerance=settings.clock.tolerance)
        for path, times in local.items():
            noted = zone_note(str(path), times), *time_notes(str(path), times)
            trial.notes |= dict.fromkeys(filter(None, noted))
        begun = oldest_append_time(log, EVENTS)
        routing, ids = LabelRouting(stream, log.partitions(EVENTS)), SharedIds()
        for partition in range(log.partitions(EVENTS)):
            shard = Shard(stream, settings, partition)
            fold = _Fold(trial, shard, begun, most_requests, routing, ids, dialect)
            fold.take(_records(log, partition))
            trial.state_bytes += len(shard.snapshot())
    trial.astray = routing.warning
    if ids.warning:
        trial.notes[ids.warning] = None
    trial.first.sort(key=lambda one: one.time)
    del trial.first[most_requests:]
    return trial


def _noted(
    trial: Trial, local: dict[Path, LocalTimes], path: Path, read: Callable[..., Iterator[Line]]
) -> Iterator[Line]:
    def left_out(columns: list[str]) -> None:
        trial.notes[f"{path}: skipped columns that no event has: {names_shown(columns)}"] = None

    def guessed(kind: str) -> None:
        trial.notes[f"{path}: rows are {kind!r} by their columns"] = None

    def counted(times: LocalTimes) -> None:
        local[path] = times

    return read(path, on_left_out=left_out, on_kind=guessed, on_local=counted)


def _records(log: SqliteLog, partition: int) -> Iterator[list[Record]]:
    offset = 0
    while records := log.read(EVENTS, partition, offset, max_records=_READ):
        yield records
        offset += len(records)


class _Fold:
    """Runs one shard, and adds its results to a trial."""

    def __init__(
        self,
        trial: Trial,
        shard: Shard,
        begun: int,
        most_requests: int,
        routing: LabelRouting,
        ids: SharedIds,
        dialect: Dialect,
    ) -> None:
        self._ids, self._dialect = ids, dialect
        self._trial, self._shard, self._left = trial, shard, most_requests
        self._routing, self._judge = routing, Judge(shard.stream)
        self._decode = shard.stream.decoder().decode
        self._waiting: dict[str, int] = {}
        every = int(shard.settings.training.every)
        self._boundaries = Boundaries(shard.stream.refit_from_us, every, begun)
        self._predictor = shard.predictor()

    def take(self, batches: Iterable[list[Record]]) -> None:
        """Apply all records, one by one until enough requests are kept."""
        for records in batches:
            rest = iter(records)
            while self._left and (record := next(rest, None)) is not None:
                self._apply([record], self._looked_at(record))
            self._apply(list(rest), None)

    def _looked_at(self, record: Record) -> Seen | None:
        """The request in a record with its vector, computed before the record is applied."""
        event = _event(self._decode, record)
        if not isinstance(event, self._shard.stream.request):
            return None
        try:
            row = self._predictor.vector(event).tolist()
        except StreamFunctionError:  # the shard raises it, unless it refuses the event
            return None
        new, levels = self._predictor.unseen(), dict(self._shard.levels)
        columns = enumerate(self._shard.stream.columns)
        values = {
            column.name: new[column.name] if column.name in new else _told(row[i], levels.get(i))
            for i, column in columns
        }
        return Seen(event.id, event.time, values)

    def _apply(self, records: list[Record], seen: Seen | None) -> None:
        entries = self._shard.apply(Records(records)).entries
        for record in records:
            self._count(record)
        for _, value in _values(entries, "dead_letters"):
            letter = msgspec.json.decode(value, type=DeadLetter)
            self._trial.letters[letter.reason] += 1
            if letter.reason not in self._trial.examples:
                self._trial.examples[letter.reason] = self._explained(letter, records)
        for _, value in _values(entries, "alerts"):
            alert = msgspec.json.decode(value, type=Alert)
            self._trial.alerts.setdefault(alert.kind, alert.message)
        predictions = len(_values(entries, "predictions"))
        self._trial.requests += predictions
        if seen is not None and predictions:
            self._trial.first.append(seen)
            self._left -= 1
        for append_time, value in _values(entries, "outcomes"):
            self._learn(append_time, msgspec.json.decode(value, type=_Outcome))
            if len(self._trial.rows) < ROWS:
                fields = msgspec.json.decode(value)
                names = (column.name for column in self._shard.stream.columns)
                self._trial.rows.append({name: fields[name] for name in names})

    def _explained(self, letter: DeadLetter, records: Iterable[Record]) -> str:
        """The detail of a dead letter, with a hint if there is one."""
        # A letter on a label that waited is of an earlier record.
        value = next((one.value for one in records if one.offset == letter.offset), b"")
        detail = self._judge.explained(letter.reason, letter.detail)
        found = hint(value, Refused(letter.reason, detail), self._dialect)
        return detail if found is None else f"{detail}: {found.text}"

    def _count(self, record: Record) -> None:
        """Count the event's type, and note a request's label deadline."""
        trial, event = self._trial, _event(self._decode, record)
        trial.due.add(self._boundaries.newest(record.append_time))
        if event is None:
            return
        self._routing.see(event)
        self._ids.see(event)
        trial.events[str(type(event).__struct_config__.tag)] += 1
        first, last = trial.span
        trial.span = min(first or event.time, event.time), max(last, event.time)
        if isinstance(event, self._shard.stream.request):
            self._waiting.setdefault(event.id, self._shard.stream.label.deadline(event))

    def _learn(self, append_time: int, outcome: _Outcome) -> None:
        trial = self._trial
        trial.labels.append(outcome.label)
        trial.guesses.append(outcome.online)
        trial.times.append(outcome.event_time)
        trial.known.append(append_time)
        trial.silent += self._waiting.pop(outcome.id, None) == outcome.label_time


def _told(value: float, levels: list[str] | None) -> float | str | None:
    if isnan(value):
        return None
    return value if levels is None else levels[int(value)]


def _values(entries: Mapping[str, tuple[int, list[Entry]]], topic: str) -> list[tuple[int, bytes]]:
    _, found = entries.get(topic, (0, []))
    return [(entry.append_time, entry.value) for entry in found]


def _event(decode: Callable[[bytes], Event], record: Record) -> Event | None:
    try:
        return decode(record.value)
    except (*_UNREADABLE, *USER_CODE_ERRORS):  # the shard raises those of the stream
        return None
