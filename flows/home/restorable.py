"""Check that a shard can be restored from a checkpoint, before work starts that needs it."""

from typing import Any

from flows.home.configuration import find_stream
from operators.partition.journal import Journal
from operators.partition.recovery import restored
from operators.shard.shard import Shard
from state.checkpoints.store import Checkpoint, CheckpointHead, CheckpointStore
from state.log import ReadableLog
from state.settings import Settings, recorded


def is_restorable(
    checkpoint: CheckpointHead, store: CheckpointStore, log: ReadableLog, settings: Settings
) -> bool:
    """Whether a shard can restore a checkpoint; if not, log a warning that names the file.

    Args:
        checkpoint: Checkpoint at or before the log's end; the state of a head is read here.
        store: Store that holds the checkpoint.
        log: The shard's log.
        settings: Settings for keys that the journal does not record.
    """
    whole = checkpoint if isinstance(checkpoint, Checkpoint) else store.whole(checkpoint)

    def fresh(values: dict[str, Any] | None) -> Shard:
        own = settings if values is None else recorded(settings, values)
        return Shard(find_stream(own.stream), own, checkpoint.partition)

    journal = Journal(log, checkpoint.partition)
    return whole is not None and restored(fresh, whole, store, journal) is not None
