"""Replay history on a branch with other settings, and compare the results."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import polars as pl
from rich.console import Console

from flows.home.configuration import check_models, find_stream, load_settings
from flows.home.deployment import Deployment
from flows.home.home import Home, environment_home
from flows.home.model_sources import reaching
from flows.replay import branch as branches
from flows.replay.branch import Branch
from flows.replay.branch_job import BranchJob
from flows.replay.fork import Models, checkpoints_at, forks_of
from flows.replay.held import held
from flows.replay.recorded_settings import newest_of, stretches_of
from flows.replay.replay_range import Moment, ReplayRange, span_of
from flows.replay.requests import PLACE
from flows.replay.worker_pool import progress_of, spread
from flows.runtime.fitter import Fitter
from flows.terminal.console import TerminalConsole
from flows.terminal.progress import RunProgress
from flows.terminal.time_format import format_time
from operators.partition.journal import early_boundaries
from operators.shard.shard import Shard
from operators.training.model_registry import ModelRegistry, Pinned
from operators.training.titles import Titles
from operators.training.trainer import Trainer
from state.log import EVENTS, Log
from state.settings import Settings, changed, differences, nested

_MEANINGLESS = (
    "follow", "log", "kafka.", "partitions", "training.wait", "training.trainer", "drift.",
)  # fmt: skip
# Settings that change neither a record nor a fit.
_ASIDE = ("checkpoints.", "reading.", "h2o.", "decision.false_")


class WhatIf(NamedTuple):
    """A replayed branch and its results.

    Attributes:
        branch: The branch.
        settings: The branch's settings.
        requests: The table that `what_if` returns.
    """

    branch: Branch
    settings: Settings
    requests: pl.DataFrame


def what_if(
    changes: Mapping[str, Any],
    since: Moment = None,
    until: Moment = None,
    *,
    home: Path | str | None = None,
    settings: Settings | None = None,
    workers: int = 1,
) -> pl.DataFrame:
    """Replay a part of history with other settings on a branch; the original is only read.

    The same call resumes a branch that was interrupted, and only reads one that is done.

    Args:
        changes: Settings by dotted key, such as `{"decision.threshold": 0.3}`.
        since: Append time (UTC) from which to compare; default: the first record.
        until: Append time (UTC) before which to stop; default: the end of the log.
        home: The home directory; default: `HEADWATER_HOME`.
        settings: Current settings; default: `headwater.toml`. The changes apply on top of the
            settings that the journal records.
        workers: Number of processes.

    Returns:
        One row per request: `id`, `event_time`, `key`, `partition`, `offset`, `label`, and for each
            side (`_base`, `_branch`) `probability`, `online`, `offline`, `residual`, `decision`,
            `model`; null where that side did not answer it.

    Raises:
        ValueError: A key, a value or the range is invalid.
    """
    where = environment_home() if home is None else Home(Path(home).absolute())
    today, quiet = settings or load_settings(), TerminalConsole(quiet=True)
    return branched(where, today, [nested(changes)], since, until, workers, quiet).requests


def branched(
    home: Home,
    settings: Settings,
    changes: Sequence[Mapping[str, Any]],
    since: Moment,
    until: Moment,
    workers: int,
    console: Console,
    say: Callable[[str], None] = lambda _: None,
) -> WhatIf:
    """Replay a branch; see `what_if`.

    Args:
        home: The base home.
        settings: Current settings: they locate the log, and apply where no journal entry does.
        changes: Settings to change, as parsed TOML documents, applied in order.
        since: Append time from which to compare.
        until: Append time before which to stop.
        workers: Number of processes.
        console: Console that shows progress.
        say: Called with a line about each stage.

    Raises:
        ValueError: A setting is invalid or has no effect on a replay, or the range is invalid.
    """
    with Deployment.open(settings, home) as deployment:
        deployment.check_kept()
        home, log = deployment.home, deployment.log
        span = span_of(log, since, until)
        old = newest_of(stretches_of(log, span, settings))
        new = old
        for document in changes:
            new = changed(new, dict(document))
        _check(log, old, new)
        own = changed(new, {"follow": False, "training": {"wait": True, "trainer": "embedded"}})
        shape = Shard(find_stream(own.stream), own, 0).shape
        name = _name(old, new, span, shape)
        with held(branches.home_of(home, name).root, "branch"):
            branch = branches.find_branch(home, name)
            if branch is None:
                branch = _begun(home, log, span, own, differences(old, new), name, shape)
            elif not branch.done:
                branch = branches.caught_up(log, home, branch, span)
            requests = _replayed(
                home, BranchJob(home.root, branch, own, span), workers, console, say
            )
            branch = _closed(home, branch, say)
        return WhatIf(branch, own, requests)


def _check(log: Log, old: Settings, new: Settings) -> None:
    for key in differences(old, new):
        if key.startswith(_MEANINGLESS):
            msg = f"setting must matter to a replay; got {key!r}"
            raise ValueError(msg)
    if new.training.pinned:
        Pinned(ModelRegistry(log), new.training.pinned)
    check_models(new)
    find_stream(new.stream)


def _name(old: Settings, new: Settings, span: ReplayRange, shape: str) -> str:
    """Name of the branch: the hash of range, old and new settings, version and columns."""
    plain = Settings()
    asked = [
        {key: value for key, value in differences(plain, of).items() if not key.startswith(_ASIDE)}
        for of in (old, new)
    ]
    question = msgspec.json.encode((span.since, span.until, asked, shape), order="sorted")
    return hashlib.sha256(question).hexdigest()[:10]


def _begun(
    home: Home,
    log: Log,
    span: ReplayRange,
    settings: Settings,
    changes: dict[str, Any],
    name: str,
    shape: str,
) -> Branch:
    models = _models(changes, settings)
    anew = {"stream", "online.river"} & set(changes)
    span_or_head = span._replace(since=None) if anew else span
    checkpoints = checkpoints_at(home, log, span_or_head, shape, settings)
    if not checkpoints and _shape_changed(home, shape):
        models = "refitted" if models == "reused" else models
    forks = forks_of(log, span, checkpoints, models)
    branch = Branch(
        name=name,
        since=span.since,
        until=span.until,
        changes=changes,
        models=models,
        boundary=checkpoints[0].boundary if checkpoints else 0,
        begins=[one.offset for one in checkpoints] or [0] * len(span.ends),
        forks={topic: list(of) for topic, of in forks.items()},
        shape=shape,
        early=[] if models == "reused" else early_boundaries(log),
    )
    branches.make(log, home, branch, checkpoints)
    return branch


def _models(changes: Mapping[str, Any], settings: Settings) -> Models:
    if settings.training.pinned:
        return "pinned"
    refits = any(key == "stream" or key.startswith(("training.", "promotion.")) for key in changes)
    return "refitted" if refits else "reused"


def _shape_changed(home: Home, shape: str) -> bool:
    """Whether the features differ from those that the home's models were fitted on."""
    newest = next(home.checkpoints().heads(0), None)
    return newest is not None and newest.shape != shape


def _told(branch: Branch, span: ReplayRange) -> str:
    where = f"at {format_time(branch.boundary)}" if branch.boundary else "at the head of the log"
    models = {
        "reused": "the recorded models",
        "refitted": "fits of its own",
        "pinned": "the pinned model",
    }[branch.models]
    state = ", done before" if branch.done else ""
    return f"Branch {branch.name}, {span}: leaves history {where}, with {models}{state}."


def _replayed(
    home: Home, job: BranchJob, workers: int, console: Console, say: Callable[[str], None]
) -> pl.DataFrame:
    """Replay the branch to its end, and put its requests beside the recorded ones."""
    branch, span = job.branch, job.span
    own = branches.home_of(home, branch.name)
    left = [end - _stands(own, p) for p, end in enumerate(branch.forks[EVENTS])]
    loads = [end - first for end, first in zip(span.ends, span.firsts, strict=True)]
    with progress_of(console, sum(left), say) as progress, _trained(home, job, progress) as tick:
        say(_told(branch, span))
        frames = spread(
            job,
            loads if branch.done else left,
            workers,
            lambda step: progress.advance(*step),
            tick,
            apart=job.apart,
        )
    return pl.concat(frames).sort("event_time", *PLACE)


@contextmanager
def _trained(home: Home, job: BranchJob, progress: RunProgress) -> Iterator[Callable[[], object]]:
    """Yield a function that must be called often to make the branch's own fits."""
    branch, settings = job.branch, job.settings
    if branch.models != "refitted" or branch.done:
        yield lambda: None
        return
    deployment = Deployment.open(settings, home)
    log = branches.log_of(deployment.log, home, branch)
    stop = threading.Event()
    own = reaching(branches.home_of(home, branch.name), settings, log)
    registry = ModelRegistry(log)
    fitter = Fitter(settings, deployment.stream, log, own, progress.say, registry)
    titles = Titles(log, registry, settings.promotion, live=False)
    trainer = Trainer(log, registry, fitter, stop, titles=titles)
    try:
        yield trainer.poll
    finally:
        stop.set()
        trainer.finish()
        log.close()


def _closed(home: Home, branch: Branch, say: Callable[[str], None]) -> Branch:
    """Mark the branch as done, if it has reached its end."""
    if branch.done:
        return branch
    own = branches.home_of(home, branch.name)
    if any(_stands(own, p) < end for p, end in enumerate(branch.forks[EVENTS])):
        say("The flow has not recorded its models up to the end: the part it recorded is replayed.")
        return branch
    done = msgspec.structs.replace(branch, done=True)
    branches.save(home, done)
    return done


def _stands(home: Home, partition: int) -> int:
    """The offset at which a partition of a branch resumes."""
    newest = next(home.checkpoints().heads(partition), None)
    return newest.offset if newest else 0
