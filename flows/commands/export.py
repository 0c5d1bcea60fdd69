"""`headwater export`: write a topic to a file."""

from argparse import ArgumentParser, Namespace
from datetime import datetime
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from flows.commands.verb import Verb, add_times, log_of
from flows.errors.user_errors import as_command_errors
from flows.home.home import ALL_TOPICS, environment_home
from flows.reading import declared
from flows.reports.export import export
from flows.terminal.console import Bar, TerminalConsole
from state.outputs.topic_rows import rows_of


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "topic", metavar="TOPIC", choices=ALL_TOPICS, help=f"one of {', '.join(ALL_TOPICS)}"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help=".parquet, .jsonl, .jsonl.gz or .jsonl.zst",
    )
    add_times(
        parser,
        "only records appended at or after this date or time, UTC",
        "only records appended before this, UTC",
        "T",
    )


def _run(arguments: Namespace) -> int:
    topic, out = arguments.topic, arguments.out
    rows = rows_of(topic, declared(topic)) if out.suffix == ".parquet" else None
    log = log_of(environment_home())
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    console = TerminalConsole(stderr=True)
    hidden = not console.is_interactive
    with (
        as_command_errors(),
        Bar(*columns, console=console, transient=True, disable=hidden) as progress,
    ):
        task = progress.add_task(topic, total=None)
        since, until = _us(arguments.since), _us(arguments.until)

        def show(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        records = export(log, topic, out, since=since, until=until, rows=rows, on_progress=show)
    log.close()
    TerminalConsole().print(f"{out}: {records:,} records", highlight=False, soft_wrap=True)
    return 0


def _us(time: datetime | None) -> int | None:
    return None if time is None else round(time.timestamp() * 1e6)


EXPORT = Verb(
    name="export",
    help="write a topic to a file",
    description=(
        "Writes all records of a topic, its partitions merged by append time. The file appears "
        "complete or not at all. Parquet has a column for each field; nested records are "
        "flattened. `headwater ingest` takes JSON lines of `events` back, and a run on them makes "
        "the same predictions."
    ),
    examples="""\
  headwater export outcomes --out outcomes.parquet
  headwater export events --out events.parquet    a column for each field of any event
  headwater export predictions --out march.jsonl.zst --from 2013-03-01 --to 2013-04-01
  headwater export events --out events.jsonl      for `headwater ingest`""",
    arguments=_arguments,
    call=_run,
    stopped="nothing was written",
)
