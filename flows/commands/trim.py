"""`headwater trim`: delete the oldest part of the log."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from rich.table import Table

from flows.commands.verb import Verb, log_of, moment
from flows.errors.user_errors import as_command_errors
from flows.home.configuration import load_settings
from flows.home.deployment import Deployment
from flows.home.home import Home, environment_home
from flows.home.restorable import is_restorable
from flows.replay.branch import needs
from flows.terminal.console import TerminalConsole
from operators.partition.retention import first_kept
from operators.shard.shard import Shard
from state.log import EVENTS, Log


class _DeletedRange(NamedTuple):
    """The offsets of a partition: `start` to `keep` are deleted, `keep` to `end` stay."""

    topic: str
    partition: int
    start: int
    keep: int
    end: int


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--before",
        type=moment,
        required=True,
        metavar="T",
        help="delete records appended before this date or time, UTC",
    )
    parser.add_argument(
        "--all", action="store_true", help="also delete from the topics that the run writes"
    )
    parser.add_argument("--dry-run", action="store_true", help="only show what would be deleted")


def _run(arguments: Namespace) -> int:
    home, console = environment_home(), TerminalConsole()
    log_of(home).close()
    with as_command_errors():
        deployment = Deployment.open(load_settings(), home)
        log = deployment.log
        kept = _kept(deployment, round(arguments.before.timestamp() * 1e6))
    held = _keep_for_branches(home, kept)
    spans = [span for span in _spans(log, kept) if arguments.all or span.topic == EVENTS]
    size = _size(home)
    if not arguments.dry_run:
        for span in spans:
            first = log.trim(span.topic, span.partition, span.keep)
            if span.topic == EVENTS:  # checkpoints before the first event are useless
                home.checkpoints().drop_before(span.partition, first)
    log.close()
    console.print(_table(spans))
    if held:
        why = "branches need some of it: `headwater branches --remove` releases it"
        console.print(why, highlight=False, soft_wrap=True)
    for partition, of in enumerate(kept):
        if not of:
            why = "has fewer than two checkpoints to resume from, and needs all: nothing is deleted"
            console.print(f"events/{partition} {why}", highlight=False, soft_wrap=True)
    said = f"{sum(span.keep - span.start for span in spans):,} records "
    said += "would be deleted" if arguments.dry_run else "deleted"
    if size > _size(home) and not arguments.dry_run:
        said += f", {(size - _size(home)) / 2**20:,.1f} MiB freed"
    if load_settings().log == "kafka":
        said += "; Kafka frees their space by whole segments"
    console.print(said, highlight=False)
    return 0


def _kept(deployment: Deployment, before: int) -> list[dict[str, int]]:
    settings, log, store = deployment.settings, deployment.log, deployment.home.checkpoints()
    shape = Shard(deployment.stream, settings, 0).shape
    whole = partial(is_restorable, store=store, log=log, settings=settings)
    return first_kept(log, store, shape, before, whole)


def _keep_for_branches(home: Home, kept: list[dict[str, int]]) -> bool:
    """Lower the first offsets to keep to those that branches read; return whether any was."""
    held = False
    for of, needed in zip(kept, needs(home), strict=False):
        for topic, first in needed.items():
            if of.get(topic, 0) > first:
                of[topic], held = first, True
    return held


def _spans(log: Log, kept: list[dict[str, int]]) -> Iterator[_DeletedRange]:
    for partition, of in enumerate(kept):
        for topic, first in of.items():
            start, end = log.start(topic, partition), log.end(topic, partition)
            yield _DeletedRange(topic, partition, start, max(start, min(first, end - 1)), end)


def _size(home: Home) -> int:
    size = 0
    for path in (*home.root.glob("log/*/*.db*"), *home.root.glob("checkpoints/*/*.ckpt")):
        with suppress(FileNotFoundError):  # the run has just deleted it
            size += path.stat().st_size
    return size


def _table(spans: list[_DeletedRange]) -> Table:
    table = Table(box=None)
    for heading in ("topic", "partition", "deleted", "first left", "left"):
        table.add_column(heading, justify="left" if heading == "topic" else "right")
    for topic, partition, start, keep, end in spans:
        numbers = (f"{number:,}" for number in (keep - start, keep, end - keep))
        table.add_row(topic, str(partition), *numbers)
    return table


TRIM = Verb(
    name="trim",
    help="delete the oldest part of the log",
    description=(
        "Deletes events that were appended before a time. It keeps all that recovery or a branch "
        "needs, and all since the last boundary before that time, so that the rest can be "
        "replayed. It also deletes older checkpoints. A partition "
        "without a checkpoint keeps everything. The disk space is freed. Runs, ingests and "
        "readers may continue meanwhile."
    ),
    examples="""\
  headwater trim --before 2013-06-01 --dry-run
  headwater trim --before 2013-06-01
  headwater trim --before 2013-06-01 --all    predictions, outcomes, metrics … as well""",
    arguments=_arguments,
    call=_run,
    stopped="deleted records are gone, the rest is complete; the same command resumes",
)
