"""Recovery: a shard from its newest usable checkpoint, or from the beginning of the log."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from models.offline import Offline
from operators.journal import TOPIC as JOURNAL
from operators.journal import Journal
from operators.shard import Shard
from operators.snapshots import TOPIC as SNAPSHOTS
from state.chain import chain_of
from state.checkpoints import Checkpoint, CheckpointHead, CheckpointStore
from state.log import EVENTS, Log
from state.running_hash import Hashed

_log = logging.getLogger("headwater")


def recover(
    fresh: Callable[[dict[str, Any] | None], Shard],
    partition: int,
    store: CheckpointStore,
    log: Log,
    load: Callable[[str, Shard], Offline],
) -> Shard:
    """The shard to go on with.

    A checkpoint is usable when a shard of the same shape wrote it, every output topic already holds
    what that shard had emitted and the journal what it had obeyed, and the log still holds the
    record it goes on with. What follows is emitted again and must equal what is there; it is made
    with the settings that the journal tells.

    Args:
        fresh: Makes an empty shard with the settings of a journal entry; None: with those of today.
        partition: Of `events`.
        store: The checkpoints.
        log: Holds the output topics.
        load: Gives the offline model of an id, bound to a shard.
    """
    journal = Journal(log, partition)
    shard = fresh(None)
    for checkpoint in store.newest_first(partition):
        if checkpoint.shape != shard.shape:
            at = f"events/{checkpoint.partition} at offset {checkpoint.offset}"
            message = "checkpoint must be of shape %r; got %r in %s: taking the one before"
            _log.warning(message, shard.shape, checkpoint.shape, at)
        elif reached(checkpoint, log):
            found = fresh(journal.settings(checkpoint.counters[JOURNAL]))
            if checkpoint.foreign and found.settings.online.river is not None:
                continue  # see `reached`; a branch has settings of its own
            found.restore(checkpoint.shard, partial(_loaded, load, found))
            found.hashed = checkpoint.hashed or Hashed.at(checkpoint.offset)
            return found
    return shard


def _loaded(load: Callable[[str, Shard], Offline], shard: Shard, model: str) -> Offline:
    return load(model, shard)


def checkpoint_of(shard: Shard, *, at_boundary: bool) -> Checkpoint:
    """The shard as it stands."""
    return Checkpoint(
        shard.shape,
        shard.partition,
        shard.position.offset,
        shard.counters | {JOURNAL: shard.position.activations},
        shard.position.boundary,
        at_boundary,
        shard.chain,
        hashed=shard.hashed,
        cuts=shard.cuts,
        shard=shard.snapshot(),
    )


def reached(checkpoint: CheckpointHead, log: Log) -> bool:
    """Whether the log holds all that a checkpoint presupposes, and it is a checkpoint of this log.

    That is: its output, of which the newest prediction must be the one that it knows, its cuts,
    what the journal had said, and the record that comes next. One that came from a store and might
    hold the pickle of a River classifier is of no log.
    """
    partition, counters = checkpoint.partition, checkpoint.counters
    if not log.end(EVENTS, partition) >= checkpoint.offset >= log.start(EVENTS, partition):
        return False
    written = counters | ({SNAPSHOTS: checkpoint.cuts} if checkpoint.cuts else {})
    if any(log.end(topic, partition) < counter for topic, counter in written.items()):
        return False
    newest = counters.get("predictions", 0) - 1
    if checkpoint.chain and newest >= log.start("predictions", partition):
        (prediction,) = log.read("predictions", partition, newest, max_records=1)
        if chain_of(prediction.value) != checkpoint.chain:
            return False
    return not (checkpoint.foreign and _had_river(log, partition, counters[JOURNAL]))


def _had_river(log: Log, partition: int, entries: int) -> bool:
    """Whether the settings after so many entries of the journal name a River classifier."""
    settings = Journal(log, partition).settings(entries) or {}
    return settings.get("online.river") is not None
