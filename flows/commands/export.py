"""`headwater export`: a topic into a file."""

from argparse import ArgumentParser, Namespace
from datetime import datetime
from pathlib import Path

import msgspec
import pyarrow as pa
from rich.console import Console

from flows.commands.errors import CommandError, refusing
from flows.commands.verb import Verb, log_of, moment
from flows.configuration import find_stream, load_settings
from flows.export import export
from flows.home import ALL_TOPICS, environment_home
from operators.journal import Activated
from operators.snapshots import Committed
from state.columns import schema_of
from state.outputs import Prediction, outcome_type

_FLAT: dict[str, type[msgspec.Struct]] = {
    "activations": Activated,
    "predictions": Prediction,
    "snapshots": Committed,
}


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "topic", metavar="TOPIC", choices=ALL_TOPICS, help=f"one of {', '.join(ALL_TOPICS)}"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help=".jsonl, .jsonl.gz or .jsonl.zst; "
        f".parquet for {', '.join(sorted((*_FLAT, 'outcomes')))}",
    )
    parser.add_argument(
        "--from",
        dest="since",
        type=moment,
        metavar="T",
        help="only what was appended at or after this date or time, UTC",
    )
    parser.add_argument(
        "--to", type=moment, metavar="T", help="only what was appended before this, UTC"
    )


def _run(arguments: Namespace) -> int:
    topic, out = arguments.topic, arguments.out
    schema = _schema(topic) if out.suffix == ".parquet" and topic != "events" else None
    log = log_of(environment_home())
    with refusing():
        since, to = _us(arguments.since), _us(arguments.to)
        records = export(log, topic, out, since=since, until=to, schema=schema)
    log.close()
    Console().print(f"{out}: {records:,} records", highlight=False, soft_wrap=True)
    return 0


def _schema(topic: str) -> pa.Schema:
    if topic == "outcomes":
        return schema_of(outcome_type(find_stream(load_settings().stream)))
    if topic not in _FLAT:
        msg = f"{topic!r} has records within records, which Parquet columns cannot hold: use .jsonl"
        raise CommandError(msg)
    return schema_of(_FLAT[topic])


def _us(time: datetime | None) -> int | None:
    return None if time is None else round(time.timestamp() * 1e6)


EXPORT = Verb(
    name="export",
    help="write a topic to a file",
    description=(
        "Writes what a topic holds, partitions merged by append time. The file appears whole or "
        "not at all. An export of `events` goes back in with `headwater ingest`, and a run on it "
        "makes the same predictions."
    ),
    examples="""\
  headwater export outcomes --out outcomes.parquet
  headwater export predictions --out march.jsonl.zst --from 2013-03-01 --to 2013-04-01
  headwater export events --out events.jsonl""",
    arguments=_arguments,
    call=_run,
    stopped="nothing was written",
)
