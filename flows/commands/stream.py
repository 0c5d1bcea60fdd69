"""`headwater stream`: check a definition, on files of events if any are given."""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from flows.commands.dialect_arguments import add_dialect, dialect_of, ids_of, kinds_of, unused
from flows.commands.verb import Verb, count
from flows.errors.user_errors import CommandError, as_command_errors
from flows.home.configuration import BUILT_IN, find_stream, load_settings
from flows.intake.stream_events import read_events
from flows.stream_check.report import definition_lines, trial_lines
from flows.stream_check.schemas import async_api, json_schemas
from flows.stream_check.trial import tried
from flows.terminal.console import TerminalConsole


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "words",
        nargs="*",
        metavar="[MODULE:ATTRIBUTE] [FILE]",
        help="the stream (default: that of the settings), and files as `headwater ingest` takes "
        "them",
    )
    parser.add_argument(
        "--requests",
        type=count,
        default=5,
        metavar="N",
        help="show the features of the first N requests (default 5)",
    )
    add_dialect(parser)
    parser.add_argument(
        "--schema",
        action="store_true",
        help="print one JSON object: `schemas` has the JSON Schema of each topic's records, "
        "`asyncapi` an AsyncAPI 3 document of all topics",
    )


def _run(arguments: Namespace) -> int:
    settings = load_settings()
    named, files = _told_apart(arguments.words)
    for path in files:
        if not path.is_file():
            msg = f"FILE must be a file that is there; got {path}"
            raise CommandError(msg)
    stream = find_stream(named or settings.stream)
    if arguments.schema:
        if files:
            msg = f"--schema must go without files; got {files[0]}"
            raise CommandError(msg)
        both = {"schemas": json_schemas(stream), "asyncapi": async_api(stream, settings)}
        sys.stdout.write(json.dumps(both, indent=2, ensure_ascii=False) + "\n")
        return 0
    console = TerminalConsole(soft_wrap=True)
    console.print("\n".join(definition_lines(stream)), soft_wrap=True)
    if files:
        with as_command_errors():
            dialect = dialect_of(stream, arguments)
            names = [*map(str, files)]
            kind_of = kinds_of(stream, arguments.type, names)
            id_of = ids_of(arguments.id, names)
            reads = {
                path: partial(
                    read_events,
                    stream=stream,
                    kind=kind_of(str(path)),
                    dialect=dialect._replace(ids=id_of(str(path))),
                )
                for path in files
            }
            trial = tried(stream, settings, reads, arguments.requests, dialect)
        if note := unused(dialect, names):
            trial.notes[note] = None
        console.print("\n".join(trial_lines(trial, stream, settings)), soft_wrap=True)
    return 0


def _told_apart(words: Sequence[str]) -> tuple[str | None, list[Path]]:
    """Split words into the stream's name, if the first word is one and not a file, and files."""
    named = None
    if words and not Path(words[0]).exists() and (words[0] in BUILT_IN or ":" in words[0]):
        named, *words = words
    return named, [Path(word) for word in words]


STREAM = Verb(
    name="stream",
    help="check a stream's definition, against files of events",
    description=(
        "Checks a definition without a home. With files it ingests them as `headwater ingest` "
        "does, into a temporary log, and scores, labels and learns as a run does, but "
        "fits no offline models. It prints the number of events of each type, the reasons of dead "
        "letters, the label rate, the share of labels by silence, the number of fits that the "
        "settings would make with an estimate of their duration, and the features of the first "
        "requests (- for a missing value). An error in a function of the stream is shown with its "
        "event."
    ),
    examples="""\
  headwater stream                              the definition that the settings name
  headwater stream events.jsonl                 against a file
  headwater stream shop:stream mon.jsonl.gz tue.parquet --requests 3
  headwater stream --schema > schema.json       for those who write events or read predictions""",
    arguments=_arguments,
    call=_run,
    stopped="nothing was changed",
)
