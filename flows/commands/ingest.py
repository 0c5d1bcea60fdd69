"""`headwater ingest`: append files of events to the log."""

import shutil
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from bytewax import run as bytewax_run
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from flows.commands.dialect_arguments import (
    DIALECT,
    add_dialect,
    dialect_of,
    ids_of,
    kinds_of,
    unused,
)
from flows.commands.verb import Verb, microseconds, moment
from flows.definition.note import check_key
from flows.errors.bytewax_errors import quiet_bytewax
from flows.errors.user_errors import CommandError, as_command_errors
from flows.home.configuration import find_stream, load_settings
from flows.home.deployment import Deployment
from flows.home.file_lock import locked_shared
from flows.home.home import Home, environment_home
from flows.home.open_log import find_log
from flows.home.wall_clock import check_append_times, declare_time, microseconds_now
from flows.ingest import File, Peek, ingest_merged
from flows.intake.counted_file import CountedFile, zone_note
from flows.intake.dialect import Dialect
from flows.intake.event_files import Line, read_lines
from flows.intake.file_forms import FileForm
from flows.intake.foreign_ingest import foreign_flow
from flows.intake.order import Order, behind_log, sort_lines
from flows.intake.preview import Preview, preview
from flows.intake.refusals import grouped, names_shown, reason_lines, shown
from flows.intake.stream_events import read_events
from flows.terminal.console import Bar, TerminalConsole
from flows.terminal.signals import stop_on_signals
from flows.terminal.time_format import format_time
from state.admission.label_routing import LabelRouting
from state.admission.no_event import Judge
from state.admission.shared_ids import SharedIds
from state.events import HOUR_US
from state.local_times import LocalTimes
from state.log import EVENTS, Log, LogError, newest_append_time
from state.plurals import counted
from state.settings import Settings
from state.stream import Stream

_STDIN = "-"
_SHOWN_BYTES = 100
_MOST_SHOWN = 5_000
_DISORDERED_IN = 100
_MOST_OFFSET_US = 14 * HOUR_US  # of a time zone
# Untyped in bytewax's own stub; it is what `python -m bytewax.run` calls.
_run_flow: Callable[..., None] = bytewax_run.cli_main


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="JSON lines, a JSON array, CSV, Parquet or Avro, recognized by the first bytes; text "
        "may be compressed with gzip, zstd, bz2 or lz4; - is standard input, read to its end first"
        "; default: the foreign topics of the settings",
    )
    add_dialect(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="show the first events as they would be appended, and why others are refused",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="append a file also if its first 1,000 records are all bad, written otherwise than "
        "they are read, or far from sorted by time, and whatever unit its times seem to have",
    )
    parser.add_argument(
        "--sort",
        action="store_true",
        help="sort each file by time first, in a temporary folder",
    )
    parser.add_argument(
        "--follow", action="store_true", help="wait for new records of the foreign topics"
    )
    parser.add_argument(
        "--now",
        type=moment,
        metavar="TIME",
        help="time (UTC) to use as the clock: for a generated history that ends after this "
        "machine's clock",
    )


def _run(arguments: Namespace) -> int:
    if not arguments.files:
        _check_no_file(arguments)
        return _run_topics(follow=arguments.follow)
    now = microseconds(arguments.now)
    for name in arguments.files:
        if name != _STDIN and not Path(name).is_file():
            msg = f"FILE must be a file that is there; got {name}"
            raise CommandError(msg)
    settings, home = load_settings(), environment_home()
    stream = find_stream(settings.stream)
    with ExitStack() as held, as_command_errors():
        dialect = dialect_of(stream, arguments)
        kind_of = kinds_of(stream, arguments.type, arguments.files)
        files, ids = [], SharedIds()
        id_of = ids_of(arguments.id, arguments.files)
        for name in arguments.files:
            own = dialect._replace(ids=id_of(name))
            read = partial(
                read_events,
                stream=stream,
                kind=kind_of(name),
                is_sure=arguments.force,
                dialect=own,
            )
            path = held.enter_context(_path(name))
            files.append(CountedFile(name, path, read, stream, own, ids.see))
        firsts = _check_files(files, stream, settings, dialect, ids, arguments)
        if arguments.dry_run:
            _tell_behind(files, firsts, stream, _newest(settings, home))
        else:
            is_utc = arguments.time_zone is None
            _append(files, firsts, settings, home, held, now, sorts=arguments.sort, is_utc=is_utc)
        _warn(ids.warning)
    return 0


def _check_files(
    files: Sequence[CountedFile],
    stream: Stream,
    settings: Settings,
    dialect: Dialect,
    ids: SharedIds,
    arguments: Namespace,
) -> list[Preview]:
    """Preview the files, and refuse all of them if one of them must not be appended.

    Raises:
        CommandError: One must not.
    """
    judge = Judge(stream)
    routing = LabelRouting(stream, settings.partitions or stream.partitions)
    firsts, refusals = [], []
    for file in files:
        found, refusal = _look(file, judge, routing, ids, dialect, arguments)
        firsts.append(found)
        refusals.append(refusal)
    filled = [file.name for file, found in zip(files, firsts, strict=True) if found.records]
    _warn(unused(dialect, filled))
    _warn(routing.warning)
    for refusal in filter(None, refusals):
        _warn(ids.warning)
        raise CommandError(refusal)
    return firsts


def _check_no_file(arguments: Namespace) -> None:
    for option in ("now", *DIALECT, "sort", "dry_run", "force"):
        if getattr(arguments, option):
            msg = f"--{option.replace('_', '-')} must go with a FILE; got none"
            raise CommandError(msg)


def _look(
    file: CountedFile,
    judge: Judge,
    routing: LabelRouting,
    ids: SharedIds,
    dialect: Dialect,
    arguments: Namespace,
) -> tuple[Preview, str | None]:
    """Preview the first records of a file, and find the reason why it must not be appended."""
    name, console = file.name, TerminalConsole()
    say = partial(console.print, highlight=False, soft_wrap=True)
    left_out: list[str] = []
    guessed: list[str] = []
    now = microseconds(arguments.now)
    now = microseconds_now() if now is None else now
    local: list[LocalTimes] = []
    lines = file.read(
        file.path,
        on_left_out=left_out.extend,
        on_kind=guessed.append,
        on_local=local.append,
    )
    with closing(lines):
        found = preview(lines, judge, routing, Order(judge.stream), now, dialect, ids)
    if guessed:
        say(f"{name}: rows are {guessed[0]!r} by their columns")
    if left_out:
        say(f"{name}: skipped columns that no event has: {names_shown(left_out)}")
    for note in filter(None, (zone_note(name, times) for times in local)):
        say(note)
    if arguments.dry_run:
        good = found.records - len(found.refused)
        say(f"{name}: {_share(good, found.records)}")
        for event in found.events:
            say(f"  {shown(event, _MOST_SHOWN)}")
        for line in found.reasons():
            say(f"  {line}")
        if found.disorder:
            say(f"  not sorted by time, {found.disorder}: --sort sorts them")
    if arguments.force:
        return found, None
    refusal = _refusal(name, found, sorts=arguments.sort)
    if refusal and not arguments.dry_run:
        return found, f"{refusal}; --dry-run shows more"
    return found, refusal


def _share(good: int, records: int) -> str:
    """A clause on the number of events among the first records."""
    if records > 1:
        return f"{good:,} of the first {records:,} records are events"
    if not records:
        return "no records"
    return f"its record is {'an event' if good else 'no event'}"


def _all_refused(records: int) -> str:
    return "record is refused" if records == 1 else f"first {records:,} records are all refused"


def _refusal(name: str, found: Preview, *, sorts: bool) -> str | None:
    """The reason why a file must not be appended without `--force`; None: there is none."""
    force = "nothing was appended; --force appends them for the run to refuse"
    if found.is_hopeless:
        first = grouped(reversed(found.refused))  # a group has its last record
        reason, example = islice(reason_lines(first), 2)
        return (
            f"FILE must hold events; got {name} whose {_all_refused(found.records)}, {reason}, "
            f"as in {example.strip()}: {force}"
        )
    if found.is_misread:
        refusal, value = found.misread[0]
        return (
            f"FILE must be written as it is read; got {name} of whose first {found.records:,} "
            f"records {len(found.misread):,} are not, {refusal.reason}: {refusal.detail}: "
            f"{refusal.advice}, as in {shown(value)}: {force}"
        )
    if found.disorder and not sorts:
        return (
            f"FILE must be sorted by time; got {name} of whose first {found.records:,} records "
            f"{found.disorder}: nothing was appended; --sort sorts them, --force appends them as "
            "they are"
        )
    return None


def _append(
    files: Sequence[CountedFile],
    firsts: Sequence[Preview],
    settings: Settings,
    home: Home,
    held: ExitStack,
    now: int | None,
    *,
    sorts: bool,
    is_utc: bool,
) -> None:
    """Append all records of the files."""
    console = TerminalConsole()
    total = 0
    deployment = Deployment.open(settings, home, make_topics=True, checkpoints=False)
    check_key(home.root, deployment.stream)
    log, stream = deployment.log, deployment.stream
    if now is not None:
        declare_time(home, now)
    check_append_times(log, home)
    with locked_shared(settings, home.root):
        deployment.check_kept()
        _tell_behind(files, firsts, stream, newest_append_time(log, EVENTS))
        reads = [
            held.enter_context(_sorted(stream.peek(), file)) if sorts else file.lines
            for file in files
        ]
        warnings = [_AheadCounter() for _ in files]
        orders = [Order(stream) for _ in files]
        parts = [
            File(file.name, read, ahead, order.see)
            for file, read, ahead, order in zip(files, reads, warnings, orders, strict=True)
        ]
        size = sum(file.path.stat().st_size for file in files)
        counts = _ingest(log, parts, size, stream.peek(), settings, now)
        for file, ahead, order, records in zip(files, warnings, orders, counts, strict=True):
            total += records
            told = f"{file.name}: {counted(records, 'record')}"
            console.print(told, highlight=False, soft_wrap=True)
            for line in file.notes():
                _warn(line)
            ahead.tell(file.name, now, is_utc=is_utc and bool(file.local.count))
            _tell_disorder(file.name, order.fault(_DISORDERED_IN))
    if len(files) > 1:
        console.print(f"{counted(total, 'record')} in all", highlight=False)
    log.close()


def _warn(line: str) -> None:
    """Print a line to standard error, unless it is empty."""
    if line:
        TerminalConsole(stderr=True).print(Text(line), soft_wrap=True)


def _run_topics(*, follow: bool) -> int:
    settings = load_settings()
    if follow:
        settings = msgspec.structs.replace(settings, follow=True)
    stop = stop_on_signals()
    with as_command_errors():
        say = partial(TerminalConsole().print, highlight=False, soft_wrap=True)
        flow = foreign_flow(settings, environment_home(), say, stop)
    with quiet_bytewax(stop):
        _run_flow(flow)
    return 0


def _tell_behind(
    files: Sequence[CountedFile], firsts: Sequence[Preview], stream: Stream, newest: int
) -> None:
    """Print a warning about files whose events come too late after those in the log.

    Args:
        files: The files.
        firsts: Their first records.
        stream: Stream of the events.
        newest: The log's newest append time, µs UTC.
    """
    for file, found in zip(files, firsts, strict=True):
        behind = "" if found.is_export else behind_log(found.times, newest, stream)
        if behind:
            _warn(
                f"{file.name}: {behind}: the run takes such labels for too late, and the events of "
                "a file that was ingested before for duplicates. Requests and their labels belong "
                "in one call of `headwater ingest`, which merges them by time, and a new home"
            )


def _newest(settings: Settings, home: Home) -> int:
    """The newest append time of a log in the home, µs UTC; 0: there is none, or it is elsewhere."""
    if settings.log != "sqlite" or not home.root.is_dir():
        return 0
    with closing(find_log(settings, home)) as log:
        try:
            return newest_append_time(log, EVENTS)
        except LogError:  # the ingest itself reports it
            return 0


def _tell_disorder(name: str, disorder: str) -> None:
    """Print a warning about events that are not sorted by time, if there are many."""
    if disorder:
        line = (
            f"{name}: not sorted by time, {disorder}: the run may refuse such events as late, and "
            "such labels as unmatched; --sort sorts a file before it is appended"
        )
        _warn(line)


class _AheadCounter:
    """Counts values with a time ahead of the clock, and keeps the first one."""

    def __init__(self) -> None:
        self._count = 0
        self._first = b"", 0

    def __call__(self, value: bytes, time: int) -> None:
        self._first = self._first if self._count else (value, time)
        self._count += 1

    def tell(self, name: str, now: int | None, *, is_utc: bool) -> None:
        """Print a warning, if there were any.

        Args:
            name: Name of the file.
            now: Declared time, µs UTC.
            is_utc: Times without a zone were taken for UTC.
        """
        if not self._count:
            return
        value, time = self._first
        clock = microseconds_now() if now is None else now
        first = repr(value[:_SHOWN_BYTES])[2:-1] + "…" * (len(value) > _SHOWN_BYTES)
        records = counted(self._count, "record")
        advice = (
            "Texts without a zone were taken for UTC: if these are times of another zone, "
            "--time-zone ZONE reads them. "
            if is_utc and time - clock <= _MOST_OFFSET_US
            else ""
        )
        TerminalConsole(stderr=True).print(
            Text(
                f"{name}: {records} with a time after {format_time(clock)}, first "
                f"{format_time(time)} in {first}\n"
                "The run will quarantine such events as clock_skew; such append times were "
                f"replaced. {advice}If this is a generated history, ingest it with --now TIME, no "
                "earlier than its end."
            ),
            soft_wrap=True,
        )


def _ingest(
    log: Log, files: list[File], size: int, peek: Peek, settings: Settings, now: int | None
) -> list[int]:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TextColumn("{task.fields[records]:,} records"),
        TimeRemainingColumn(),
    )
    console = TerminalConsole(stderr=True)
    hidden = not console.is_interactive
    with Bar(*columns, console=console, transient=True, disable=hidden) as progress:
        name = files[0].name if len(files) == 1 else f"{len(files)} files"
        task = progress.add_task(name, total=size, records=0)

        def show(done: int, records: int) -> None:
            progress.update(task, completed=done, records=records)

        tolerance = settings.clock.tolerance
        return ingest_merged(log, files, peek, now=now, tolerance=tolerance, on_progress=show)


@contextmanager
def _sorted(peek: Peek, file: CountedFile) -> Iterator[Callable[[], Iterator[Line]]]:
    """Reads the same events, sorted by time."""
    with TemporaryDirectory() as folder, closing(file.lines()) as lines:
        path = sort_lines(lines, peek, Path(folder))
        yield partial(read_lines, path, FileForm("json lines"))


@contextmanager
def _path(name: str) -> Iterator[Path]:
    """The file to read; standard input is copied to one, as it has no length and no position."""
    if name != _STDIN:
        yield Path(name)
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "stdin"
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield path


INGEST = Verb(
    name="ingest",
    help="append files of events, or foreign topics, to the log",
    description=(
        "Appends every line or row to the topic `events`, valid or not: the run that reads it "
        "writes invalid records to `dead_letters`. First it checks the first 1,000 records of "
        "each file. Nothing is appended if a file has an unknown format, holds no valid event, "
        "is far from sorted by time, or has times in another unit than the stream's. Cells of "
        "CSV, Parquet and Avro are converted to the declared types of the event's fields; times "
        "in RFC 3339 become microseconds. Several files, each sorted by time, are merged by "
        "time. Append times are taken from an export, else derived from the order of the file, "
        "and are never later than this machine's clock. An empty home is set up first. Without "
        "a FILE it ingests the foreign topics that the settings map, each record once however "
        "often it is stopped, as `python -m bytewax.run flows.ingest` does."
    ),
    examples="""\
  headwater ingest january.jsonl.gz february.parquet
  headwater ingest requests.jsonl labels.jsonl    merged by time
  headwater ingest events.jsonl       file of `headwater export events`, byte for byte
  headwater ingest --dry-run trips.csv
  headwater ingest --type finished ends.csv
  headwater ingest --type ends.csv=finished starts.csv ends.csv
  headwater ingest --rename trip=id --rename started_at=time trips.csv
  headwater ingest --id 'ends.csv={file}-{row}' starts.csv ends.csv
  headwater ingest --decimal , --time-format '%d.%m.%Y %H:%M' orders.csv
  headwater ingest --skip-unknown --rename product.price=price clicks.json
  headwater ingest --sort newest-first.csv
  zcat *.gz | headwater ingest -      standard input
  headwater ingest --now 2031-01-01 made-up.jsonl
  headwater ingest --follow           foreign topics, until Ctrl-C""",
    arguments=_arguments,
    call=_run,
    stopped="appended records stay; a run drops the duplicates of a second ingest soon after",
)
