"""The fork of a branch: a boundary of which every partition has a checkpoint."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import takewhile
from typing import Literal

from flows.home.home import ALL_TOPICS, Home
from flows.home.restorable import is_restorable
from flows.replay.replay_range import ReplayRange, headless
from models.refit.fit_record import ALERTED
from operators.partition.journal import TOPIC as JOURNAL
from operators.partition.journal import Activated, Journal
from operators.partition.recovery import usable
from operators.training.model_registry import ModelRegistry
from operators.training.training_cuts import TOPIC as SNAPSHOTS
from operators.training.training_cuts import cuts_of
from state.checkpoints.store import Checkpoint
from state.log import EVENTS, Log
from state.log.branch import Forks
from state.settings import Settings
from state.topics import ALERTS, MODELS, ROLLBACKS

Models = Literal["reused", "refitted", "pinned"]
"""Source of a branch's offline models."""


def checkpoints_at(
    home: Home, log: Log, span: ReplayRange, shape: str, settings: Settings
) -> list[Checkpoint]:
    """One checkpoint per partition, of the newest common boundary before the range.

    Args:
        home: The home that holds the checkpoints.
        log: The shards' log.
        span: Range that the checkpoints must precede.
        shape: The shards' `Shard.shape`.
        settings: Settings for keys that the journal does not record.

    Raises:
        ValueError: No boundary is usable, and the log's first records were deleted.
    """
    if span.since is not None:
        found = _common(home, log, span, shape, settings)
        if found:
            return found
    for partition in range(len(span.ends)):
        if log.start(EVENTS, partition):
            raise headless(log, partition)
    return []


def _common(
    home: Home, log: Log, span: ReplayRange, shape: str, settings: Settings
) -> list[Checkpoint]:
    store = home.checkpoints()

    def before_span(partition: int) -> Iterator[Checkpoint]:
        before = span.firsts[partition]
        for one in store.newest_first(partition, before=before, at_boundary=True):
            if one.boundary <= (span.since or 0):
                yield one

    restorable = partial(is_restorable, store=store, log=log, settings=settings)
    candidates = [
        usable(before_span(partition), shape, log, restorable)
        for partition in range(len(span.ends))
    ]
    chosen = [next(of, None) for of in candidates]
    while True:
        found = [one for one in chosen if one is not None]
        if len(found) < len(chosen):
            return []
        lowest = min(one.boundary for one in found)
        if all(one.boundary == lowest for one in found):
            return found
        chosen = [
            one if one.boundary == lowest else next(of, None)
            for one, of in zip(found, candidates, strict=True)
        ]


def forks_of(
    log: Log, span: ReplayRange, checkpoints: Sequence[Checkpoint], models: Models
) -> Forks:
    """First offset of each topic and partition that is the branch's own.

    Args:
        log: The base's log.
        span: Range of the branch; `events` ends with it.
        checkpoints: Checkpoints at which the branch begins; empty: at the head of the log.
        models: "reused" shares the base's journal and models throughout, else up to the boundary.
    """
    partitions = range(len(span.ends))
    counters = [one.counters for one in checkpoints] or [{} for _ in partitions]
    boundary = checkpoints[0].boundary if checkpoints else 0
    forks = {topic: [of.get(topic, 0) for of in counters] for topic in ALL_TOPICS}
    forks[EVENTS] = span.ends
    forks[SNAPSHOTS] = [_cuts(log, p, boundary) for p in partitions]
    if models == "reused":
        forks[JOURNAL] = [
            sum(entry.offset < end for entry in Journal(log, p).entries)
            for p, end in enumerate(span.ends)
        ]
    decisions = ModelRegistry(log)
    published = decisions.records()
    if models == "refitted":
        published = [record for record in published if record.boundary < boundary]
    bad = sum(record.status in ALERTED for record in published)
    forks[ROLLBACKS] = [max(_obeyed(log, p, of) for p, of in enumerate(counters))]
    forks[MODELS] = [decisions.end_of(len(published))]
    forks[ALERTS] = [*forks[ALERTS], bad]
    return forks


def _obeyed(log: Log, partition: int, counters: Mapping[str, int]) -> int:
    """Number of rollbacks a partition had obeyed; the base's journal tells of later ones."""
    entries = Journal(log, partition).entries[: counters.get(JOURNAL, 0)]
    return max((one.rollbacks for one in entries if isinstance(one, Activated)), default=0)


def _cuts(log: Log, partition: int, boundary: int) -> int:
    """Number of training cuts a partition had committed up to a boundary."""
    return sum(1 for _ in takewhile(lambda cut: cut.boundary <= boundary, cuts_of(log, partition)))
