"""What-if: a branch of history with other settings, compared with what was recorded."""

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import polars as pl
from rich.console import Console

from flows.configuration import find_stream, load_settings
from flows.fitting import Fitter
from flows.home import Home, environment_home
from flows.logs import find_log
from flows.moments import told
from flows.partitions import Partitions
from flows.progress import RunProgress
from flows.replay import branch as branches
from flows.replay.branch import Branch
from flows.replay.comparison import compared
from flows.replay.engine import Report, Tick, drive, spread
from flows.replay.fork import Models, checkpoints_at, forks_of
from flows.replay.span import Moment, Span, span_of
from operators.decisions import Pinned, PublishedModels, Undecided
from operators.shard import Shard
from operators.training import Trainer
from state.log import EVENTS, Log
from state.settings import Settings, changed, differences
from state.stream import Stream

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
        changes: Settings by dotted key, such as `{"ensemble.rate": 0.1}`.
        since: Append time (UTC) from which on to compare.
        until: Append time before which to end.
        home: Whose history; None: `HEADWATER_HOME`.
        settings: With which it was made; None: `headwater.toml`.
        workers: Processes.

    Returns:
        A row for each request: `id`, `event_time`, `key`, `partition`, `offset`, `label`, and twice
        (`_base`, `_branch`) `probability`, `online`, `offline`, `residual`, `decision`, `model`.

    Raises:
        ValueError: A key, a value or the range is wrong.
    """
    where = environment_home() if home is None else Home(Path(home).absolute())
    base = settings or load_settings()
    new = changed(base, nested(changes))
    return branched(where, base, new, since, until, workers, Console(quiet=True)).requests


def nested(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys as a document.

    Example:
        >>> nested({"online.rate": 0.1, "stream": "quotes"})
        {'online': {'rate': 0.1}, 'stream': 'quotes'}
    """
    document: dict[str, Any] = {}
    for key, value in changes.items():
        table, dot, name = key.partition(".")
        if dot:
            document.setdefault(table, {})[name] = value
        else:
            document[key] = value
    return document


def branched(
    home: Home,
    old: Settings,
    new: Settings,
    since: Moment,
    until: Moment,
    workers: int,
    console: Console,
    say: Callable[[str], None] = lambda _: None,
) -> WhatIf:
    """See `what_if`.

    Args:
        home: Whose history.
        old: The settings with which it was made.
        new: The settings to try.
        since: Append time from which on to compare.
        until: Append time before which to end.
        workers: Processes.
        console: For progress.
        say: Told what is done.

    Raises:
        ValueError: A setting has no meaning in a replay, or the range is not one of this log.
    """
    changes = differences(old, new)
    for key in changes:
        if key.startswith(_MEANINGLESS):
            msg = f"setting must matter to a replay; got {key!r}"
            raise ValueError(msg)
    log = find_log(old, home)
    span, stream = span_of(log, since, until), find_stream(new.stream)
    if new.training.pinned:
        Pinned(PublishedModels(log), new.training.pinned)
    settings = changed(new, {"follow": False, "training": {"wait": True, "trainer": "embedded"}})
    name = _name(old, new, span)
    with branches.held(home, name):
        branch = branches.find_branch(home, name)
        if branch is None:
            branch = _begun(home, log, span, stream, settings, changes, name)
        say(_told(branch, span))
        if not branch.done:
            _replay(home, branch, settings, stream, workers, console)
            branch = _closed(home, branch, say)
        ours = branches.log_of(log, home, branch)
        requests = compared(log, ours, span.firsts, branch.forks[EVENTS])
    ours.close()
    return WhatIf(branch, settings, requests)


def _name(old: Settings, new: Settings, span: Span) -> str:
    """The same for the same question: range, what was set, what is set."""
    plain = Settings()
    asked = [
        {key: value for key, value in differences(plain, of).items() if not key.startswith(_ASIDE)}
        for of in (old, new)
    ]
    question = msgspec.json.encode((span.since, span.until, asked), order="sorted")
    return hashlib.sha256(question).hexdigest()[:10]


def _begun(
    home: Home,
    log: Log,
    span: Span,
    stream: Stream,
    settings: Settings,
    changes: dict[str, Any],
    name: str,
) -> Branch:
    models = _models(changes, settings)
    anew = {"stream", "online.river"} & set(changes)
    span_or_head = span._replace(since=None) if anew else span
    shape = Shard(stream, settings, 0).shape
    checkpoints = checkpoints_at(home, log, span_or_head, shape)
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
        forks={topic: list(of) for topic, of in forks.items()},
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
    newest = next(home.checkpoints().newest_first(0), None)
    return newest is not None and newest.shape != shape


def _told(branch: Branch, span: Span) -> str:
    where = f"at {told(branch.boundary)}" if branch.boundary else "at the head of the log"
    models = {
        "reused": "the recorded models",
        "refitted": "fits of its own",
        "pinned": "the pinned model",
    }[branch.models]
    state = ", done before" if branch.done else ""
    return f"Branch {branch.name}, {span}: leaves history {where}, with {models}{state}."


def _replay(
    home: Home, branch: Branch, settings: Settings, stream: Stream, workers: int, console: Console
) -> None:
    job = BranchJob(home.root, branch, settings)
    log = branches.log_of(find_log(settings, home), home, branch)
    own = branches.home_of(home, branch.name)
    loads = [end - _stands(own, p) for p, end in enumerate(branch.forks[EVENTS])]
    progress = RunProgress(console, sum(loads))

    def report(step: tuple[Any, ...]) -> None:
        progress.advance(*step)

    if branch.models != "refitted":
        try:
            spread(job, loads, workers, report, lambda: None)
        finally:
            progress.close()
            log.close()
        return
    stop = threading.Event()
    fitter = Fitter(settings, stream, own, progress.say)
    trainer = Trainer(log, PublishedModels(log), fitter, stop)
    try:
        spread(job, loads, workers, report, trainer.poll)
    finally:
        stop.set()
        trainer.finish()
        progress.close()
        log.close()


def _closed(home: Home, branch: Branch, say: Callable[[str], None]) -> Branch:
    """The branch marked as done, if it has come to its end."""
    own = branches.home_of(home, branch.name)
    if any(_stands(own, p) < end for p, end in enumerate(branch.forks[EVENTS])):
        say("The flow had not recorded its models that far: what it had is replayed.")
        return branch
    done = msgspec.structs.replace(branch, done=True)
    branches.save(home, done)
    return done


def _stands(home: Home, partition: int) -> int:
    """The offset at which a partition of a branch will be taken up."""
    newest = next(home.checkpoints().newest_first(partition), None)
    return newest.offset if newest else 0


@dataclass(frozen=True)
class BranchJob:
    """Runs partitions of a branch as the live flow would.

    Args:
        root: The base's home.
        branch: Which.
        settings: Its own.
    """

    root: Path
    branch: Branch
    settings: Settings

    def __call__(self, partitions: Sequence[int], report: Report, tick: Tick) -> list[int]:
        """See `flows.replay.engine.Job`."""
        base, branch, settings = Home(self.root), self.branch, self.settings
        log = branches.log_of(find_log(settings, base), base, branch)
        home = branches.home_of(base, branch.name)
        decisions = Undecided() if branch.models == "reused" else None
        parts = Partitions(settings, find_stream(settings.stream), log, home, decisions)
        lives = [parts.open(partition) for partition in partitions]
        drive(lives, waiting=branch.models != "reused", report=report, tick=tick)
        log.close()
        return list(partitions)
