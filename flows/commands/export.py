"""`headwater export`: write a topic to a file."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from flows.commands.verb import Verb, add_times, log_of, microseconds, output_file
from flows.errors.user_errors import CommandError, as_command_errors
from flows.home.home import ALL_TOPICS, environment_home
from flows.reading import declared
from flows.reports.export import export
from flows.terminal.console import TerminalConsole
from flows.terminal.read_progress import read_progress
from operators.training.model_registry import ModelRegistry
from state.atomic_write import replacing
from state.outputs.topic_rows import rows_of
from state.plurals import counted
from state.topics import METRICS


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "topic", metavar="TOPIC", choices=ALL_TOPICS, help=f"one of {', '.join(ALL_TOPICS)}"
    )
    parser.add_argument(
        "--out",
        type=output_file,
        required=True,
        metavar="FILE",
        help=".parquet, .jsonl, .jsonl.gz or .jsonl.zst",
    )
    parser.add_argument(
        "--openmetrics",
        action="store_true",
        help="of `metrics`: the past of the metrics that `headwater watch` serves, as text for "
        "Prometheus and VictoriaMetrics; --from and --to are event times then",
    )
    add_times(
        parser,
        "only records appended at or after this date or time, UTC",
        "only records appended before this, UTC",
        "T",
    )


def _run(arguments: Namespace) -> int:
    topic, out = arguments.topic, arguments.out
    if arguments.openmetrics:
        if topic != METRICS:
            msg = f"--openmetrics must go with the topic metrics; got {topic!r}"
            raise CommandError(msg)
        return _backfill(out, microseconds(arguments.since), microseconds(arguments.until))
    rows = rows_of(topic, declared(topic)) if out.suffix == ".parquet" else None
    log = log_of(environment_home())
    with as_command_errors(), read_progress() as read:
        since, until = microseconds(arguments.since), microseconds(arguments.until)

        def show(done: int, total: int) -> None:
            read(topic, done, total)

        records = export(log, topic, out, since=since, until=until, rows=rows, on_progress=show)
    log.close()
    TerminalConsole().print(f"{out}: {counted(records, 'record')}", highlight=False, soft_wrap=True)
    return 0


def _backfill(out: Path, since: int | None, until: int | None) -> int:
    from flows.watch.openmetrics import OpenMetrics  # noqa: PLC0415 - for this only
    from flows.watch.past import past_samples  # noqa: PLC0415

    log, text, values = log_of(environment_home()), OpenMetrics(), 0
    with as_command_errors(), replacing(out) as path:
        for sample in past_samples(log, ModelRegistry(log).records()):
            if (since or 0) <= round(sample.at * 1e6) < (until or 2**63):
                text.add(sample)
        with path.open("w", encoding="utf-8") as file:
            for piece in text.text():
                values += piece.startswith("headwater_")
                file.write(piece)
    log.close()
    TerminalConsole().print(f"{out}: {counted(values, 'value')}", highlight=False, soft_wrap=True)
    return 0


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
  headwater export metrics --openmetrics --out history.om
  headwater export events --out events.jsonl      for `headwater ingest`""",
    arguments=_arguments,
    call=_run,
    stopped="nothing was written",
)
