"""`headwater ingest`: files of events into the log."""

import shutil
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from bytewax import run as bytewax_run
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from flows.commands.verb import Verb, moment
from flows.errors.bytewax_errors import quiet_bytewax
from flows.errors.user_errors import CommandError, as_command_errors
from flows.home.configuration import load_settings
from flows.home.deployment import Deployment
from flows.home.file_lock import locked_shared
from flows.home.home import environment_home
from flows.home.wall_clock import check_append_times, declare_time, microseconds_now
from flows.ingest import File, Peek, ingest_merged
from flows.intake.event_files import read_lines
from flows.intake.foreign_ingest import foreign_flow
from flows.terminal.console import Bar, TerminalConsole
from flows.terminal.signals import stop_on_signals
from flows.terminal.time_format import format_time
from state.log import Log
from state.settings import Settings

_STDIN = "-"
_SHOWN_BYTES = 100
# Untyped in bytewax's own stub; it is what `python -m bytewax.run` calls.
_run_flow: Callable[..., None] = bytewax_run.cli_main


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="JSON lines (also .gz and .zst), Parquet with a row per event, or an export of "
        "events; - is standard input, JSON lines read to its end first; without any: the foreign "
        "topics of the settings",
    )
    parser.add_argument(
        "--follow", action="store_true", help="wait for more at the end of the foreign topics"
    )
    parser.add_argument(
        "--now",
        type=moment,
        metavar="TIME",
        help="time (UTC) to take for the clock's: for a generated history that ends after this "
        "machine's clock",
    )


def _run(arguments: Namespace) -> int:
    if not arguments.files:
        if arguments.now is not None:
            msg = "--now must go with a FILE; records of foreign topics have a time of their own"
            raise CommandError(msg)
        return _run_topics(follow=arguments.follow)
    now = None if arguments.now is None else round(arguments.now.timestamp() * 1e6)
    for name in arguments.files:
        if name != _STDIN and not Path(name).is_file():
            msg = f"FILE must be a file that is there; got {name}"
            raise CommandError(msg)
    settings, home = load_settings(), environment_home()
    console = TerminalConsole()
    total = 0
    with as_command_errors():
        deployment = Deployment.open(settings, home, make_topics=True, checkpoints=False)
        log, stream = deployment.log, deployment.stream
        if now is not None:
            declare_time(home, now)
        check_append_times(log, home)
        with locked_shared(settings, home.root), ExitStack() as held:
            paths = [held.enter_context(_path(name)) for name in arguments.files]
            warnings = [_Ahead() for _ in paths]
            files = [
                File(name, partial(read_lines, path), ahead)
                for name, path, ahead in zip(arguments.files, paths, warnings, strict=True)
            ]
            size = sum(path.stat().st_size for path in paths)
            counts = _ingest(log, files, size, stream.peek(), settings, now)
            for name, ahead, records in zip(arguments.files, warnings, counts, strict=True):
                total += records
                console.print(f"{name}: {records:,} records", highlight=False, soft_wrap=True)
                ahead.tell(name, now)
    if len(arguments.files) > 1:
        console.print(f"{total:,} records in all", highlight=False)
    log.close()
    return 0


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


class _Ahead:
    """Counts values with a time after the clock's, and keeps the first."""

    def __init__(self) -> None:
        self._count = 0
        self._first = b"", 0

    def __call__(self, value: bytes, time: int) -> None:
        self._first = self._first if self._count else (value, time)
        self._count += 1

    def tell(self, name: str, now: int | None) -> None:
        """Warn of them, if there were any."""
        if not self._count:
            return
        value, time = self._first
        clock = format_time(microseconds_now() if now is None else now)
        first = repr(value[:_SHOWN_BYTES])[2:-1] + "…" * (len(value) > _SHOWN_BYTES)
        records = f"{self._count:,} record{'s' * (self._count > 1)}"
        TerminalConsole(stderr=True).print(
            Text(
                f"{name}: {records} with a time after {clock}, first {format_time(time)} in "
                f"{first}\n"
                "The run will quarantine such events as clock_skew; such append times were "
                "replaced. If this is a generated history, ingest it with --now TIME, no earlier "
                "than its end."
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
def _path(name: str) -> Iterator[Path]:
    """The file to read; standard input is kept in one, for it has no length and no position."""
    if name != _STDIN:
        yield Path(name)
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "stdin.jsonl"
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield path


INGEST = Verb(
    name="ingest",
    help="append files of events, or foreign topics, to the log",
    description=(
        "Appends every line or row to the topic `events`, whether it is an event or not: the run "
        "that reads it puts what is wrong into `dead_letters`. Several files, each sorted by time, "
        "are merged by time. Append times are taken from an "
        "export, else derived from the order of the file, and are never later than this machine's "
        "clock. An empty home is set up first. Without a "
        "FILE it takes the foreign topics that the settings map, each record once however often it "
        "is stopped; the same as `python -m bytewax.run flows.ingest`."
    ),
    examples="""\
  headwater ingest january.jsonl.gz february.parquet
  headwater ingest requests.jsonl labels.jsonl    by time, as they happened
  headwater ingest events.jsonl       what `headwater export events` wrote, byte for byte
  zcat *.gz | headwater ingest -      standard input
  headwater ingest --now 2031-01-01 made-up.jsonl
  headwater ingest --follow           foreign topics, until Ctrl-C""",
    arguments=_arguments,
    call=_run,
    stopped="what was appended stays; a run drops what a second ingest repeats soon after",
)
