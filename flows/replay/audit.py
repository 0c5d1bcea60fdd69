"""Audit: make a part of history again, and compare it with what was recorded."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import polars as pl
from rich.console import Console

from flows.home.configuration import find_stream, load_settings
from flows.home.deployment import Deployment
from flows.home.home import Home, environment_home
from flows.replay.audit_job import AuditJob
from flows.replay.audit_progress import can_keep, drop_old, folder_of
from flows.replay.held import held
from flows.replay.output_check import Checked
from flows.replay.recorded_settings import stretches_of, told_settings
from flows.replay.replay_range import Moment, Span, span_of
from flows.replay.worker_pool import progress_of, spread
from flows.terminal.console import TerminalConsole
from operators.shard.shard import Shard
from state.log import Log
from state.settings import Settings


class Audited(NamedTuple):
    """An audit's range and what came of its partitions."""

    span: Span
    partitions: list[Checked]


def audit(
    since: Moment = None,
    until: Moment = None,
    *,
    home: Path | str | None = None,
    settings: Settings | None = None,
    workers: int = 1,
) -> pl.DataFrame:
    """Make predictions, outcomes, metrics, alerts and dead letters again and compare them.

    Args:
        since: Append time (UTC) from which on to compare.
        until: Append time before which to end.
        home: Whose history; None: `HEADWATER_HOME`.
        settings: Those of today; None: `headwater.toml`. What was written is made again with the
            settings that the checkpoints tell.
        workers: Processes.

    Returns:
        A row for each partition and topic: `partition`, `topic`, `identical`, `different`; where
        the partition's first difference is, `sequence` in the topic, `offset` in `events`, `id`,
        `field`, `recorded`, `replayed` and `cause`.

    Raises:
        ValueError: The range is not one of this log.
    """
    where = environment_home() if home is None else Home(Path(home).absolute())
    quiet = TerminalConsole(quiet=True)
    checked = audited(where, settings or load_settings(), since, until, workers, quiet).partitions
    return pl.DataFrame(list(_rows(checked)), schema=_COLUMNS, orient="row")


def audited(
    home: Home,
    settings: Settings,
    since: Moment,
    until: Moment,
    workers: int,
    console: Console,
    say: Callable[[str], None] = lambda _: None,
) -> Audited:
    """See `audit`.

    Args:
        home: Whose history.
        settings: Those of today: where the log is, and what no checkpoint tells.
        since: Append time from which on to compare.
        until: Append time before which to end.
        workers: Processes.
        console: For progress.
        say: Told where the replay begins, and where it is interrupted.
    """
    with Deployment.open(settings, home) as deployment:
        deployment.check_kept()
        span = span_of(deployment.log, since, until)
        return _audited(deployment.home, deployment.log, settings, span, workers, console, say)


def _audited(
    home: Home,
    log: Log,
    settings: Settings,
    span: Span,
    workers: int,
    console: Console,
    say: Callable[[str], None],
) -> Audited:
    stretches = stretches_of(log, span, settings)
    with _kept_in(home, job_of(home, log, settings, span)) as job, held(job.folder, "audit"):
        drop_old(home, job.folder)
        begins = [job.begin(home, log, p) for p in range(len(span.ends))]
        offsets = [0 if begin is None else begin.offset for begin, _ in begins]
        going_on = any(checked is not None for _, checked in begins)
        loads = [end - offset for end, offset in zip(span.ends, offsets, strict=True)]
        with progress_of(console, sum(loads), say) as progress:
            say(f"Audit of {span}: {_told(span, offsets, going_on=going_on)}.")
            if other := told_settings(stretches, span, settings):
                say(other)
            checked = spread(
                job, loads, workers, lambda one: progress.advance(*one), _nothing, apart=True
            )
        shutil.rmtree(job.folder)
    return Audited(span, sorted(checked, key=lambda one: one.partition))


@contextmanager
def _kept_in(home: Home, job: AuditJob) -> Iterator[AuditJob]:
    """The work, with a folder that can be written; of a home that cannot be, one that will go."""
    if can_keep(home):
        yield job
        return
    with TemporaryDirectory() as aside:
        yield replace(job, folder=Path(aside) / job.folder.name)


def job_of(home: Home, log: Log, settings: Settings, span: Span) -> AuditJob:
    """The work of an audit of a span."""
    shape = Shard(find_stream(settings.stream), settings, 0).shape
    folder = folder_of(home, log, span, shape, stretches_of(log, span, settings))
    return AuditJob(home.root, settings, span, shape, folder)


_COLUMNS: dict[str, type[pl.DataType]] = {
    "partition": pl.Int64,
    "topic": pl.String,
    "identical": pl.Int64,
    "different": pl.Int64,
    "sequence": pl.Int64,
    "offset": pl.Int64,
    "id": pl.String,
    "field": pl.String,
    "recorded": pl.String,
    "replayed": pl.String,
    "cause": pl.String,
}


def _rows(checked: Sequence[Checked]) -> Iterator[tuple[object, ...]]:
    for one in checked:
        for topic in sorted({*one.identical, *one.different}):
            counts = one.partition, topic, one.identical.get(topic, 0), one.different.get(topic, 0)
            first = one.first
            if first is None or first.topic != topic:
                yield (*counts, *[None] * 7)
                continue
            field = first.fields[0] if first.fields else (None, None, None)
            yield (*counts, first.sequence, first.offset, first.id, *field, one.cause)


def _told(span: Span, offsets: list[int], *, going_on: bool) -> str:
    if going_on:
        left = sum(end - at for end, at in zip(span.ends, offsets, strict=True))
        return f"going on where it was stopped, {left:,} records left"
    back = sum(first - at for first, at in zip(span.firsts, offsets, strict=True))
    where = "checkpoints" if any(offsets) else "the head of the log"
    return f"from {where}, {back:,} records before it"


def _nothing() -> None:
    pass
