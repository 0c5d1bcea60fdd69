"""Recovery: a shard from its newest usable checkpoint, or from the beginning of the log."""

from collections.abc import Callable

from models.offline import Offline
from operators.journal import TOPIC as JOURNAL
from operators.shard import Shard
from state.checkpoints import Checkpoint, CheckpointStore
from state.log import EVENTS, Log


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
    """
    shard = fresh()
    for checkpoint in store.newest_first(shard.partition):
        if checkpoint.shape == shard.shape and reached(checkpoint, log):
            shard.restore(checkpoint.shard, lambda model: load(model, shard))
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
    )


def reached(checkpoint: Checkpoint, log: Log) -> bool:
    """Whether the log holds all that a checkpoint presupposes: its output, and what comes next."""
    partition = checkpoint.partition
    return log.end(EVENTS, partition) >= checkpoint.offset >= log.start(EVENTS, partition) and all(
        log.end(topic, partition) >= counter for topic, counter in checkpoint.counters.items()
    )
