"""Audit: replay a part of history, and compare the output with the recorded output."""

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
from flows.replay.output_check import PartitionAudit
from flows.replay.recorded_settings import stretches_of, told_settings
from flows.replay.replay_range import Moment, ReplayRange, span_of
from flows.replay.worker_pool import progress_of, spread
from flows.terminal.console import TerminalConsole
from models.refit.fit_record import FitRecord
from operators.shard.shard import Shard
from operators.training.model_registry import ModelRegistry
from operators.training.titles import unfounded
from state.log import Log
from state.settings import Settings


class AuditResult(NamedTuple):
    """The results of an audit.

    Attributes:
        span: Range of the audit.
        partitions: Results of the partitions.
        titles: Number of recorded decisions on the title, which were made again from `metrics`.
        unfounded: Those that do not follow from them.
    """

    span: ReplayRange
    partitions: list[PartitionAudit]
    titles: int = 0
    unfounded: Sequence[FitRecord] = ()


def audit(
    since: Moment = None,
    until: Moment = None,
    *,
    home: Path | str | None = None,
    settings: Settings | None = None,
    workers: int = 1,
) -> pl.DataFrame:
    """Replay predictions, outcomes, metrics, alerts and dead letters, and compare them.

    Args:
        since: Append time (UTC) from which to compare; default: the first record.
        until: Append time (UTC) before which to stop; default: the end of the log.
        home: The home directory; default: `HEADWATER_HOME`.
        settings: Current settings; default: `headwater.toml`. History is replayed with the settings
            that its journal records.
        workers: Number of processes.

    Returns:
        One row per partition and topic: `partition`, `topic`, and the record counts `identical` and
        `different`. The row of a partition's first difference also has `sequence` (in the topic),
        `offset` (in `events`), `id`, `field`, `recorded`, `replayed` and `cause`.

    Raises:
        ValueError: The range is invalid or outside this log.
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
) -> AuditResult:
    """Audit a home; see `audit`.

    Args:
        home: The home to audit.
        settings: Current settings: they locate the log, and apply where no journal entry does.
        since: Append time from which to compare.
        until: Append time before which to stop.
        workers: Number of processes.
        console: Console that shows progress.
        say: Called with a line at the start of the replay, and when it is interrupted.
    """
    with Deployment.open(settings, home) as deployment:
        deployment.check_kept()
        span = span_of(deployment.log, since, until)
        return _audited(deployment.home, deployment.log, settings, span, workers, console, say)


def _audited(
    home: Home,
    log: Log,
    settings: Settings,
    span: ReplayRange,
    workers: int,
    console: Console,
    say: Callable[[str], None],
) -> AuditResult:
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
    partitions = sorted(checked, key=lambda one: one.partition)
    registry = ModelRegistry(log)
    titles = sum(record.evidence is not None for record in registry.records())
    return AuditResult(span, partitions, titles, unfounded(log, registry))


@contextmanager
def _kept_in(home: Home, job: AuditJob) -> Iterator[AuditJob]:
    """Set the job's folder to a temporary one if the home is not writable."""
    if can_keep(home):
        yield job
        return
    with TemporaryDirectory() as aside:
        yield replace(job, folder=Path(aside) / job.folder.name)


def job_of(home: Home, log: Log, settings: Settings, span: ReplayRange) -> AuditJob:
    """The job that audits a range."""
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


def _rows(checked: Sequence[PartitionAudit]) -> Iterator[tuple[object, ...]]:
    for one in checked:
        for topic in sorted({*one.identical, *one.different}):
            counts = one.partition, topic, one.identical.get(topic, 0), one.different.get(topic, 0)
            first = one.first
            if first is None or first.topic != topic:
                yield (*counts, *[None] * 7)
                continue
            field = first.fields[0] if first.fields else (None, None, None)
            yield (*counts, first.sequence, first.offset, first.id, *field, one.cause)


def _told(span: ReplayRange, offsets: list[int], *, going_on: bool) -> str:
    if going_on:
        left = sum(end - at for end, at in zip(span.ends, offsets, strict=True))
        return f"resuming where it was stopped, {left:,} records left"
    back = sum(first - at for first, at in zip(span.firsts, offsets, strict=True))
    where = "checkpoints" if any(offsets) else "the head of the log"
    return f"from {where}, {back:,} records before it"


def _nothing() -> None:
    pass
