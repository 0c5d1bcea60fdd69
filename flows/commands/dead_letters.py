"""`headwater dead-letters`: list records that were not processed, and retry them."""

import sys
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterator
from heapq import nlargest
from typing import NamedTuple, get_args

import msgspec
from rich.table import Table

from flows.commands.verb import Verb, count, log_of
from flows.errors.user_errors import CommandError, as_command_errors
from flows.home.configuration import ConfigurationError, find_stream, load_settings
from flows.home.file_lock import locked_shared
from flows.home.home import environment_home
from flows.home.wall_clock import check_append_times
from flows.intake.foreign_ingest import mapper_of
from flows.intake.refusals import Refusal, grouped, shown
from flows.intake.retry_dead_letters import AGAIN, StoredDeadLetter, append_again, letters_of
from flows.terminal.console import TerminalConsole
from flows.terminal.time_format import format_time
from state.admission.no_event import Judge
from state.ingest.positions import IngestWriter
from state.log import EVENTS, Log, Trimmable
from state.outputs.records import DeadLetterReason
from state.plain_text import plain_line
from state.plurals import counted
from state.stream import StreamError


class _Count(NamedTuple):
    reason: str
    topic: str
    letters: int
    open: int


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--reason",
        action="append",
        choices=get_args(DeadLetterReason),
        help="only these reasons; may be given several times",
    )
    parser.add_argument(
        "--limit", type=count, default=20, metavar="N", help="show N groups (default 20)"
    )
    parser.add_argument("--json", action="store_true", help="as one JSON object, bytes in base64")
    parser.add_argument("--again", action="store_true", help="retry the records, after a fix")


def _run(arguments: Namespace) -> int:
    log = log_of(environment_home())
    try:
        if arguments.again:
            _again(log, arguments)
        else:
            _list(log, arguments)
    finally:
        log.close()
    return 0


def _again(log: Trimmable, arguments: Namespace) -> None:
    reasons = arguments.reason or AGAIN
    vain = sorted(set(reasons) - set(AGAIN))
    if vain:
        msg = f"--again must have reason {', '.join(AGAIN)}; got {vain[0]!r}: a retry cannot help"
        raise CommandError(msg)
    settings = load_settings()
    stream, home = find_stream(settings.stream), environment_home()
    check_append_times(log, home)
    with as_command_errors(), locked_shared(settings, home.root):
        mapper = mapper_of(settings, stream)
        intake = IngestWriter(log, mapper.digest)
        events, letters, gone = append_again(log, stream, mapper, intake, reasons)
    TerminalConsole().print(
        f"{events + letters:,} retried: {events:,} appended to {EVENTS}, {letters:,} refused "
        "again" + (f"; {gone:,} skipped: their whole records are no longer there" if gone else ""),
        highlight=False,
        soft_wrap=True,
    )


def _list(log: Log, arguments: Namespace) -> None:
    total: Counter[tuple[str, str]] = Counter()
    left: Counter[tuple[str, str]] = Counter()

    def chosen() -> Iterator[StoredDeadLetter]:
        for letter in letters_of(log):
            kind = letter.content.reason, letter.content.topic or EVENTS
            if not arguments.reason or kind[0] in arguments.reason:
                total[kind] += 1
                left[kind] += letter.is_open
                yield letter

    if arguments.json:
        newest = nlargest(arguments.limit, chosen(), key=lambda letter: letter.append_time)
        counts = [_Count(*kind, n, left[kind])._asdict() for kind, n in total.items()]
        listed = {"counts": counts, "letters": [letter._asdict() for letter in newest]}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(listed)).decode() + "\n")
        return
    groups = list(grouped((_refusal(letter), letter) for letter in chosen()))
    console = TerminalConsole()
    if not total:
        console.print("No dead letters.")
        return
    counts_table = _table("reason", "of topic", "letters", "open")
    for kind in sorted(total):
        counts_table.add_row(*kind, f"{total[kind]:,}", f"{left[kind]:,}")
    console.print(counts_table)
    for group in groups[: arguments.limit]:
        for line in _lines(*group):
            console.print(line, highlight=False, soft_wrap=True)
    if (more := len(groups) - arguments.limit) > 0:
        console.print(f"and {counted(more, 'more reason')}, which a larger --limit shows")


def _refusal(letter: StoredDeadLetter) -> Refusal:
    content = letter.content
    return Refusal(content.reason, content.detail, content.topic)


def _lines(refusal: Refusal, letters: int, letter: StoredDeadLetter) -> Iterator[str]:
    """Format a group: its reason, and its newest letter with the record as plain text."""
    content = letter.content
    detail = refusal.detail if content.topic else _explained(refusal)
    place = f"{content.topic or EVENTS}/{content.partition} at {content.offset}"
    done = "" if letter.is_open or content.reason not in AGAIN else ", retried"
    yield f"{letters:,} {refusal.reason}: {plain_line(detail)}"
    yield f"  {place}, {format_time(letter.append_time)}{done}: {shown(content.raw)}"


def _explained(refusal: Refusal) -> str:
    """The detail; for an unknown type also the stream's types, if the stream can be loaded."""
    if refusal.reason != "unknown_type":
        return refusal.detail
    try:
        stream = find_stream(load_settings().stream)
    except (ConfigurationError, StreamError):
        return refusal.detail
    return Judge(stream).explained(refusal.reason, refusal.detail)


def _table(*headings: str) -> Table:
    table = Table(box=None)
    for heading in headings:
        table.add_column(heading, justify="right" if heading in {"letters", "open"} else "left")
    return table


DEAD_LETTERS = Verb(
    name="dead-letters",
    help="list bad records, and retry them after a fix",
    description=(
        "Counts dead letters by reason and topic, and shows for each distinct reason its number "
        "and the newest record, with its place in `events` or in its foreign topic. With --again, "
        "foreign records are mapped again by the current settings, and records of `events` are "
        "appended again for the run to process; a record that is refused again becomes a new dead "
        "letter. Each dead letter is retried once, however often this is called or stopped. Stop "
        "a running ingest first."
    ),
    examples="""\
  headwater dead-letters --reason invalid --limit 100
  headwater dead-letters --again      after the mapping is corrected
  headwater dead-letters --again --reason clock_skew""",
    arguments=_arguments,
    call=_run,
    stopped="the same command resumes",
)
