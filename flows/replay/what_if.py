"""What-if: a branch of history with other settings, compared with what was recorded."""

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
from flows.replay.replay_range import Moment, Span, span_of
from flows.replay.requests import PLACE
from flows.replay.worker_pool import progress_of, spread
from flows.runtime.fitter import Fitter
from flows.terminal.console import TerminalConsole
from flows.terminal.progress import RunProgress
from flows.terminal.time_format import format_time
from operators.shard.shard import Shard
from operators.training.model_registry import ModelRegistry, Pinned
from operators.training.trainer import Trainer
from state.log import EVENTS, Log
from state.settings import Settings, changed, differences, nested

_MEANINGLESS = ("follow", "log", "kafka.", "partitions", "training.wait", "training.trainer")
# What changes neither a record nor a fit.
_ASIDE = ("checkpoints.", "reading.", "h2o.", "decision.false_")


class WhatIf(NamedTuple):
    """A branch that was replayed, and what came of it.

    Attributes:
        branch: Which.
        settings: Its own.
        requests: See `what_if`.
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
    """Replay a part of history with other settings, on a branch; the original stays as it is.

    The same call again resumes a branch that was broken off, or reads one that is done.

    Args:
        changes: Settings by dotted key, such as `{"decision.threshold": 0.3}`.
        since: Append time (UTC) from which on to compare.
        until: Append time before which to end.
        home: Whose history; None: `HEADWATER_HOME`.
        settings: Those of today; None: `headwater.toml`. What changes is counted from those with
            which history was made, as the journal tells.
        workers: Processes.

    Returns:
        A row for each request: `id`, `event_time`, `key`, `partition`, `offset`, `label`, and twice
        (`_base`, `_branch`) `probability`, `online`, `offline`, `residual`, `decision`, `model`;
        null where that side did not answer it.

    Raises:
        ValueError: A key, a value or the range is wrong.
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
    """See `what_if`.

    Args:
        home: Whose history.
        settings: Those of today: where the log is, and what the journal does not tell.
        changes: What to set otherwise, as parsed TOML documents, one after the other.
        since: Append time from which on to compare.
        until: Append time before which to end.
        workers: Processes.
        console: For progress.
        say: Told what is done.

    Raises:
        ValueError: A setting is wrong or has no meaning in a replay, or the range is not one of
            this log.
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


def _name(old: Settings, new: Settings, span: Span, shape: str) -> str:
    """The same for the same question: range, what was set, what is set, version and columns."""
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
    span: Span,
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
    )
    branches.make(log, home, branch, checkpoints)
    return branch


def _models(changes: Mapping[str, Any], settings: Settings) -> Models:
    if settings.training.pinned:
        return "pinned"
    refits = any(key == "stream" or key.startswith("training.") for key in changes)
    return "refitted" if refits else "reused"


def _shape_changed(home: Home, shape: str) -> bool:
    """Whether the features are others than those that the home's models were fitted on."""
    newest = next(home.checkpoints().heads(0), None)
    return newest is not None and newest.shape != shape


def _told(branch: Branch, span: Span) -> str:
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
    """The branch brought to its end, and its requests beside the recorded ones."""
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
    """What is to be called often, so that the branch's own fits are made."""
    branch, settings = job.branch, job.settings
    if branch.models != "refitted" or branch.done:
        yield lambda: None
        return
    deployment = Deployment.open(settings, home)
    log = branches.log_of(deployment.log, home, branch)
    stop = threading.Event()
    own = reaching(branches.home_of(home, branch.name), settings, log)
    fitter = Fitter(settings, deployment.stream, log, own, progress.say)
    trainer = Trainer(log, ModelRegistry(log), fitter, stop)
    try:
        yield trainer.poll
    finally:
        stop.set()
        trainer.finish()
        log.close()


def _closed(home: Home, branch: Branch, say: Callable[[str], None]) -> Branch:
    """The branch marked as done, if it has come to its end."""
    if branch.done:
        return branch
    own = branches.home_of(home, branch.name)
    if any(_stands(own, p) < end for p, end in enumerate(branch.forks[EVENTS])):
        say("The flow had not recorded its models that far: what it had is replayed.")
        return branch
    done = msgspec.structs.replace(branch, done=True)
    branches.save(home, done)
    return done


def _stands(home: Home, partition: int) -> int:
    """The offset at which a partition of a branch will be taken up."""
    newest = next(home.checkpoints().heads(partition), None)
    return newest.offset if newest else 0
