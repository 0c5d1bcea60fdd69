"""Recovery: a shard from its newest usable checkpoint, or from the beginning of the log."""

import logging
from collections.abc import Callable
from typing import Any

from models.offline import Offline
from operators.journal import TOPIC as JOURNAL
from operators.shard import Shard
from state.checkpoints import Checkpoint, CheckpointStore, Configured
from state.log import EVENTS, Log, LogError

_log = logging.getLogger("headwater")


class SettingsChangedError(LogError):
    """What a killed run wrote would be made again with other settings, and so otherwise."""


def recover(
    fresh: Callable[[], Shard],
    store: CheckpointStore,
    log: Log,
    load: Callable[[str, Shard], Offline],
) -> Shard:
    """The shard to go on with.

    A checkpoint is usable when a shard of the same shape wrote it, every output topic already holds
    what that shard had emitted and the journal what it had obeyed, and the log still holds the
    record it goes on with. What follows is emitted again and must equal what is there.

    Args:
        fresh: Makes an empty shard.
        store: The checkpoints.
        log: Holds the output topics.
        load: Gives the offline model of an id, bound to a shard.

    Raises:
        SettingsChangedError: The log holds what was made after the checkpoint by other settings.
    """
    shard = fresh()
    for checkpoint in store.newest_first(shard.partition):
        if checkpoint.shape != shard.shape:
            at = f"events/{checkpoint.partition} at offset {checkpoint.offset}"
            message = "checkpoint must be of shape %r; got %r in %s: taking the one before"
            _log.warning(message, shard.shape, checkpoint.shape, at)
        elif reached(checkpoint, log):
            shard.restore(checkpoint.shard, lambda model: load(model, shard))
            shard.configured = _continued(checkpoint, shard.configured[-1].settings, log)
            break
    return shard


def checkpoint_of(shard: Shard, *, at_boundary: bool) -> Checkpoint:
    """The shard as it stands."""
    return Checkpoint(
        shard.shape,
        shard.partition,
        shard.position.offset,
        shard.counters | {JOURNAL: shard.position.activations},
        shard.position.boundary,
        at_boundary,
        shard.snapshot(),
        shard.configured,
    )


def _continued(
    checkpoint: Checkpoint, settings: dict[str, Any], log: Log
) -> tuple[Configured, ...]:
    """What was noted, and the settings of now where they are others."""
    before = checkpoint.configured
    if before and before[-1].settings == settings:
        return before
    partition = checkpoint.partition
    if before and any(log.end(t, partition) > n for t, n in checkpoint.counters.items()):
        raise SettingsChangedError(_told(before[-1].settings, settings, checkpoint))
    return (*before, Configured(checkpoint.offset, settings))


def _told(old: dict[str, Any], new: dict[str, Any], checkpoint: Checkpoint) -> str:
    name = next(key for key in {**old, **new} if old.get(key) != new.get(key))
    return (
        f"{name} must be {old.get(name)!r} until what a killed run wrote is made up; "
        f"got {new.get(name)!r} in events/{checkpoint.partition} at offset {checkpoint.offset}: "
        "run once as before, then change it"
    )


def reached(checkpoint: Checkpoint, log: Log) -> bool:
    """Whether the log holds all that a checkpoint presupposes: its output, and what comes next."""
    partition = checkpoint.partition
    return log.end(EVENTS, partition) >= checkpoint.offset >= log.start(EVENTS, partition) and all(
        log.end(topic, partition) >= counter for topic, counter in checkpoint.counters.items()
    )
