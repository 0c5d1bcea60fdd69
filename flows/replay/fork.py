"""Where a branch leaves its base: at a boundary that every partition has a checkpoint of."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import takewhile
from typing import Literal

from flows.home.home import ALL_TOPICS, Home
from flows.home.restorable import is_restorable
from flows.replay.replay_range import Span, headless
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
"""Where a branch has its offline models from."""


def checkpoints_at(
    home: Home, log: Log, span: Span, shape: str, settings: Settings
) -> list[Checkpoint]:
    """One of each partition, of the newest boundary that lies before the span; none: the head.

    Args:
        home: Has them.
        log: Of their shards.
        span: They lie before it.
        shape: Of their shards.
        settings: What the journal leaves open.

    Raises:
        ValueError: There is none, and the head of the log is gone.
    """
    if span.since is not None:
        found = _common(home, log, span, shape, settings)
        if found:
            return found
    for partition in range(len(span.ends)):
        if log.start(EVENTS, partition):
            raise headless(log, partition)
    return []


def _common(home: Home, log: Log, span: Span, shape: str, settings: Settings) -> list[Checkpoint]:
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


def forks_of(log: Log, span: Span, checkpoints: Sequence[Checkpoint], models: Models) -> Forks:
    """From which offset on each topic of a branch is its own.

    Args:
        log: The base.
        span: `events` end with it.
        checkpoints: Where the branch begins; none: at the head.
        models: Reused, the base's journal and models hold throughout; else up to the boundary.
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
    bad = sum(record.status in {"failed", "rejected"} for record in published)
    forks[ROLLBACKS] = [max(_obeyed(log, p, of) for p, of in enumerate(counters))]
    forks[MODELS] = [decisions.end_of(len(published))]
    forks[ALERTS] = [*forks[ALERTS], bad]
    return forks


def _obeyed(log: Log, partition: int, counters: Mapping[str, int]) -> int:
    """How many rollbacks a partition had obeyed; of later ones only the base's journal tells."""
    entries = Journal(log, partition).entries[: counters.get(JOURNAL, 0)]
    return max((one.rollbacks for one in entries if isinstance(one, Activated)), default=0)


def _cuts(log: Log, partition: int, boundary: int) -> int:
    """How many cuts a partition had made once a boundary's was."""
    return sum(1 for _ in takewhile(lambda cut: cut.boundary <= boundary, cuts_of(log, partition)))
