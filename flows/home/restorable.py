"""Whether a shard could go on from a checkpoint: asked before something is begun that needs it."""

from typing import Any

from flows.home.configuration import find_stream
from operators.partition.journal import Journal
from operators.partition.recovery import restored
from operators.shard.shard import Shard
from state.checkpoints.store import Checkpoint, CheckpointHead, CheckpointStore
from state.log import ReadableLog
from state.settings import Settings, changed, nested


def is_restorable(
    checkpoint: CheckpointHead, store: CheckpointStore, log: ReadableLog, settings: Settings
) -> bool:
    """Whether a shard can restore its state; if not, a warning names the file.

    Args:
        checkpoint: One that its log has reached; of a head, the state is read.
        store: Where it comes from.
        log: Of the shard.
        settings: What the journal leaves open.
    """
    whole = checkpoint if isinstance(checkpoint, Checkpoint) else store.whole(checkpoint)

    def fresh(values: dict[str, Any] | None) -> Shard:
        own = settings if values is None else changed(settings, nested(values))
        return Shard(find_stream(own.stream), own, checkpoint.partition)

    journal = Journal(log, checkpoint.partition)
    return whole is not None and restored(fresh, whole, store, journal) is not None
