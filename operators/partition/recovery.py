"""Recovery: a shard from its newest usable checkpoint, or from the start of the log."""

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from models.scoring.bound_model import Offline
from operators.partition.journal import TOPIC as JOURNAL
from operators.partition.journal import Journal, read_entry
from operators.shard.shard import TOPICS, VERSION, DamagedStateError, Shard
from operators.training.training_cuts import TOPIC as SNAPSHOTS
from state.checkpoints.names import name_of
from state.checkpoints.store import Checkpoint, CheckpointHead, CheckpointStore, Part, pass_over
from state.features import Rolling
from state.log import EVENTS, LogError, ReadableLog
from state.log.running_hash import Hashed
from state.outputs.prediction_chain import chain_of
from state.topics import PREDICTIONS

_log = logging.getLogger("headwater")


class RegrainedError(LogError):
    """The log was written when the windows of a feature shared their buckets."""


def _unloaded(model: str, shard: Shard) -> None:
    del model, shard


class EarlierVersionError(LogError):
    """An earlier version has answered requests of this log, differently from this version."""


def check_version(log: ReadableLog, store: CheckpointStore, partition: int) -> None:
    """Refuse a partition that an earlier version has processed.

    Args:
        log: Log with the output topics.
        store: The checkpoints.
        partition: Partition of `events`.

    Raises:
        EarlierVersionError: The newest checkpoint is from an earlier version.
    """
    newest = next(store.heads(partition), None)
    if newest is None or not log.end(PREDICTIONS, partition):
        return
    version = newest.shape.partition(" ")[0]
    if version.isdecimal() and int(version) < VERSION:
        msg = (
            f"outputs of events/{partition} must be of this version (shard {VERSION}); got outputs "
            f"of an earlier one (shard {version}), which this version cannot continue: `headwater "
            "export events --out events.jsonl`, then `headwater ingest events.jsonl` and "
            "`headwater run` in a new HEADWATER_HOME (on Kafka with a new kafka.prefix)"
        )
        raise EarlierVersionError(msg)


def recover(
    fresh: Callable[[dict[str, Any] | None], Shard],
    partition: int,
    store: CheckpointStore,
    log: ReadableLog,
    load: Callable[[str, Shard], Offline],
) -> Shard:
    """Recover the shard of a partition.

    A checkpoint is usable if a shard of the same shape wrote it, the output topics hold all output
    of that shard, the journal holds its entries, and the log still holds the next record. Output
    after the checkpoint is re-emitted with the journal's settings, and must equal the stored
    output.

    Args:
        fresh: Makes an empty shard with the settings of a journal entry; None: current settings.
        partition: Partition of `events`.
        store: The checkpoints.
        log: Log with the output topics.
        load: Returns the offline model of an id, bound to a shard.

    Raises:
        RegrainedError: The features would have other values than before.
    """
    journal = Journal(log, partition)
    shard = fresh(journal.settings(0))

    def tell(other: CheckpointHead) -> None:
        _refuse_regrained(other.shape, shard)
        at = f"events/{other.partition} at offset {other.offset}"
        message = "checkpoint must be of shape %r; got %r in %s: taking the one before (%s)"
        _log.warning(message, shard.shape, other.shape[:100], at, store.place_of(other))

    for checkpoint in usable(store.newest_first(partition), shard.shape, log, of_other_shape=tell):
        found = restored(fresh, checkpoint, store, journal, load)
        if found is not None:
            return found
    return shard


def usable(
    checkpoints: Iterable[Part],
    shape: str,
    log: ReadableLog,
    is_restorable: Callable[[Part], bool] = lambda _: True,
    of_other_shape: Callable[[CheckpointHead], object] = lambda _: None,
) -> Iterator[Part]:
    """The checkpoints, in order, from which a shard can resume; take the first.

    Args:
        checkpoints: Checkpoints or their heads, the newest first.
        shape: The shard's `Shard.shape`.
        log: Log of the shard.
        is_restorable: Whether a checkpoint's state is valid; checked last, as it reads all of it.
        of_other_shape: Called with each checkpoint of another version or stream.
    """
    for one in checkpoints:
        if one.shape != shape:
            of_other_shape(one)
        elif reached(one, log) and is_restorable(one):
            yield one


def restored(
    fresh: Callable[[dict[str, Any] | None], Shard],
    checkpoint: Checkpoint,
    store: CheckpointStore,
    journal: Journal,
    load: Callable[[str, Shard], Offline | None] = _unloaded,
) -> Shard | None:
    """Restore a shard from a checkpoint; None, after a warning, if it is damaged.

    The state must match the checkpoint's head, and use the model that the journal names.

    Args:
        fresh: See `recover`.
        checkpoint: Checkpoint at or before the log's end.
        store: Store of the checkpoint, for the warning.
        journal: Journal of its partition.
        load: See `recover`; by default no model is loaded, and the shard can only be inspected.
    """
    obeyed = checkpoint.counters.get(JOURNAL, 0)
    shard = fresh(journal.settings(obeyed))
    if checkpoint.foreign and shard.settings.online.river:
        return None  # see `reached`; a branch has its own settings
    used, before = journal.model(obeyed), journal.model_before(obeyed)

    def loaded(model: str) -> Offline | None:
        return load(model, shard) if model in {used, before} else None

    try:
        shard.restore(checkpoint.shard, loaded)
        _check(shard, checkpoint, used, before)
    except DamagedStateError as error:
        pass_over(store.place_of(checkpoint), error)
        return None
    shard.hashed = checkpoint.hashed or Hashed.at(checkpoint.offset)
    return shard


def _refuse_regrained(shape: str, shard: Shard) -> None:
    """Refuse a log from before windows had their own buckets, if that changes values.

    Raises:
        RegrainedError: Values would change.
    """
    *_, columns, _ = shard.shape.split()
    buckets = {
        feature.title: feature.bucket_once
        for feature in shard.stream.features
        if isinstance(feature, Rolling) and feature.bucket_once
    }
    if shape.endswith(f" {columns}") and buckets:
        given = ", ".join(f'bucket="{bucket}" in {title}' for title, bucket in buckets.items())
        msg = (
            "this log was written when several windows shared their buckets; to go on with it the "
            f"stream must say {given}; for the new buckets start a new home"
        )
        raise RegrainedError(msg)


def _check(shard: Shard, head: CheckpointHead, model: str | None, before: str | None) -> None:
    """Refuse a state that does not match its head or the journal.

    Raises:
        DamagedStateError: It does not match.
    """
    if shard.model != model:
        msg = f"model must be the journal's, {model!r}; got {(shard.model or '')[:100]!r}"
        raise DamagedStateError(msg)
    if shard.older not in {None, before}:
        msg = f"older model must be the journal's, {before!r}; got {(shard.older or '')[:100]!r}"
        raise DamagedStateError(msg)
    position, made, said = shard.position, _counters(shard), {JOURNAL: 0} | head.counters
    same = (position.offset, position.boundary) == (head.offset, head.boundary)
    if not (same and said.items() <= made.items()):
        msg = "position and counters of the state must equal those of its head; they differ"
        raise DamagedStateError(msg)
    if head.chain not in {"", shard.chain}:
        msg = f"chain of the state must be its head's, {head.chain[:16]!r}; got {shard.chain!r}"
        raise DamagedStateError(msg)


def checkpoint_of(shard: Shard, *, at_boundary: bool, journal: str = "") -> Checkpoint:
    """Make a checkpoint of a shard's current state.

    Args:
        shard: The shard.
        at_boundary: Whether it has just crossed a boundary.
        journal: `Journal.digest` of the obeyed entries; empty: unknown.
    """
    return Checkpoint(
        shard.shape,
        shard.partition,
        shard.position.offset,
        _counters(shard),
        shard.position.boundary,
        at_boundary,
        shard.chain,
        hashed=shard.hashed,
        cuts=shard.cuts,
        journal=journal,
        shard=shard.snapshot(),
    )


def _counters(shard: Shard) -> dict[str, int]:
    return shard.counters | {JOURNAL: shard.position.activations}


def reached(checkpoint: CheckpointHead, log: ReadableLog) -> bool:
    """Whether a checkpoint belongs to this log, and the log holds everything it depends on.

    These are its output, with the same newest prediction, its cuts, its journal entries, and the
    next record. It must not have passed the offset of an entry that it has not obeyed: a flow that
    another has replaced may still read on and save, until its next output is refused. A checkpoint
    from a store that might hold a River classifier's pickle never qualifies.
    """
    partition, counters = checkpoint.partition, checkpoint.counters
    if not {*TOPICS} <= counters.keys() <= {*TOPICS, JOURNAL}:
        name = name_of(checkpoint.offset, checkpoint.boundary, at_boundary=checkpoint.at_boundary)
        got = sorted(counters)
        pass_over(f"{partition}/{name}", f"its counters must be those of a shard; got {got}")
        return False
    if not log.end(EVENTS, partition) >= checkpoint.offset >= log.start(EVENTS, partition):
        return False
    written = counters | ({SNAPSHOTS: checkpoint.cuts} if checkpoint.cuts else {})
    if any(log.end(topic, partition) < counter for topic, counter in written.items()):
        return False
    newest = counters.get(PREDICTIONS, 0) - 1
    if checkpoint.chain and newest >= log.start(PREDICTIONS, partition):
        (prediction,) = log.read(PREDICTIONS, partition, newest, max_records=1)
        if chain_of(prediction.value) != checkpoint.chain:
            return False
    obeyed = counters.get(JOURNAL, 0)
    for record in log.read(JOURNAL, partition, obeyed, max_records=1):
        if read_entry(partition, obeyed, record.value).offset < checkpoint.offset:
            return False
    return not (checkpoint.foreign and _had_river(log, partition, obeyed))


def _had_river(log: ReadableLog, partition: int, entries: int) -> bool:
    """Whether the settings after `entries` journal entries have River classifiers."""
    settings = Journal(log, partition).settings(entries) or {}
    return bool(settings.get("online.river"))
