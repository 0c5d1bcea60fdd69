"""Retention: the part of the log that recovery and replay need."""

from collections.abc import Callable
from itertools import islice

from operators.partition.journal import TOPIC as JOURNAL
from operators.partition.recovery import usable
from operators.training.training_cuts import cuts_of
from state.checkpoints.store import CheckpointHead, CheckpointStore
from state.log import EVENTS, Log, offset_at
from state.topics import OUTCOMES

_SPARE = 3
"""Number of checkpoints that recovery must be able to choose from, in case some are damaged."""
_LEAST = 2
"""Fewest of them: if the only one were lost, nothing could take the place of deleted records."""


def first_kept(
    log: Log,
    store: CheckpointStore,
    shape: str,
    before: int,
    is_restorable: Callable[[CheckpointHead], bool] = lambda _: True,
) -> list[dict[str, int]]:
    """The first offset of `events` and each output topic that must stay, by partition.

    Records appended at or after `before` stay; so do records that recovery reads or re-emits from
    any of the newest checkpoints, and all since the last boundary before both of which every
    partition has a checkpoint, so that a replay of the rest can begin there. A partition with fewer
    than two usable checkpoints keeps everything and has no entries here. Journal, models and cuts
    always stay whole: they are small, and are read from their start.

    Args:
        log: Log to trim.
        store: Checkpoints of its shards.
        shape: The shards' `Shard.shape`.
        before: Append time, microseconds UTC.
        is_restorable: Whether a checkpoint's state is valid; called as rarely as possible, as it
            reads all of it.
    """
    partitions = range(log.partitions(EVENTS))
    newest = [
        list(islice(usable(store.heads(p), shape, log, is_restorable), _SPARE)) for p in partitions
    ]
    limits = [
        min([offset_at(log, EVENTS, p, before), *(c.offset for c in newest[p])]) for p in partitions
    ]
    at_boundary = [
        list(usable(store.heads(p, before=limits[p], at_boundary=True), shape, log))
        for p in partitions
    ]
    found = [next(filter(is_restorable, of), None) for of in at_boundary]
    common = min(0 if fork is None else fork.boundary for fork in found)
    kept: list[dict[str, int]] = []
    for p in partitions:
        fork = found[p]
        if fork is None or fork.boundary > common:
            earlier = (c for c in at_boundary[p] if c.boundary <= common)
            fork = next(filter(is_restorable, earlier), None)
        if len(newest[p]) < _LEAST:
            kept.append({})
        elif fork is None:
            kept.append({EVENTS: limits[p], **_outputs(log, newest[p][-1], before)})
        else:
            kept.append({EVENTS: fork.offset, **_outputs(log, fork, before)})
    return kept


def _outputs(log: Log, oldest: CheckpointHead, before: int) -> dict[str, int]:
    """First offsets of the output topics, for a shard that may resume from `oldest`."""
    partition = oldest.partition
    kept = {
        topic: min(counter, offset_at(log, topic, partition, before))
        for topic, counter in oldest.counters.items()
        if topic != JOURNAL
    }
    # The cut of the shard's boundary may be written again.
    kept[OUTCOMES] = min(kept[OUTCOMES], _in_cuts(log, partition, oldest.boundary))
    return kept


def _in_cuts(log: Log, partition: int, boundary: int) -> int:
    """Number of outcomes in the cuts before a boundary."""
    return sum(cut.rows for cut in cuts_of(log, partition) if cut.boundary < boundary)
