"""Progress of interrupted audits, saved in the home until the audits are done."""

import hashlib
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from flows.home.home import Home
from flows.home.restorable import is_restorable
from flows.replay.held import held
from flows.replay.output_check import PartitionAudit
from flows.replay.recorded_settings import SettingsPeriod
from flows.replay.replay_range import ReplayRange
from operators.partition.journal import TOPIC as JOURNAL
from operators.shard.shard import Shard
from state.checkpoints.store import Checkpoint, CheckpointStore, pass_over
from state.log import ReadableLog, offset_at
from state.process_lock import LockedError
from state.settings import Settings, deciding
from state.topics import PREDICTIONS

_KEPT = 3


class _AuditState(msgspec.Struct):
    """A checkpoint's `shard` field: the shard's own bytes, and the result so far."""

    shard: bytes
    checked: PartitionAudit


def folder_of(
    home: Home,
    log: ReadableLog,
    span: ReplayRange,
    shape: str,
    stretches: Sequence[Sequence[SettingsPeriod]],
) -> Path:
    """Folder of an audit's progress; it changes with range, code, settings and recorded output.

    The newest prediction of each partition, with its hash chain, stands for all recorded output.
    """
    newest = [_newest(log, partition, span.until) for partition in range(len(span.ends))]
    settings = [[(one.begin, deciding(one.settings)) for one in of] for of in stretches]
    question = msgspec.json.encode((span, shape, settings, newest), order="sorted")
    return _root(home) / hashlib.sha256(question).hexdigest()[:10]


def can_keep(home: Home) -> bool:
    """Whether this user may save an audit's progress in the home."""
    root = _root(home)
    return os.access(root if root.exists() else home.root, os.W_OK)


def drop_old(home: Home, at: Path) -> None:
    """Delete all but the three newest audits that no process is working on.

    Args:
        home: The home that holds the audits.
        at: Folder that the caller has locked; it is kept too.
    """
    folders = [path for path in _root(home).glob("*") if path.is_dir() and path != at]
    for folder in sorted(folders, key=lambda path: path.stat().st_mtime)[:-_KEPT]:
        with suppress(LockedError), held(folder, "audit"):
            shutil.rmtree(folder)


def keep(folder: Path, shard: Shard, checked: PartitionAudit) -> None:
    """Save the progress of a partition."""
    position = shard.position
    state = msgspec.msgpack.encode(_AuditState(shard.snapshot(), checked))
    place = shard.shape, shard.partition, position.offset
    obeyed = {JOURNAL: position.activations}
    CheckpointStore(folder).save(Checkpoint(*place, obeyed, position.boundary, False, shard=state))


def kept(
    folder: Path, partition: int, log: ReadableLog, settings: Settings
) -> tuple[Checkpoint, PartitionAudit] | None:
    """Load the saved progress of a partition: the shard's checkpoint, and the result so far.

    Args:
        folder: The audit's folder.
        partition: Partition of `events`.
        log: The audited log.
        settings: Settings for keys that the journal does not record.
    """
    store = CheckpointStore(folder)
    for one in store.newest_first(partition):
        try:
            found = msgspec.msgpack.decode(one.shard, type=_AuditState)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            pass_over(store.place_of(one), error)
            continue
        checkpoint = msgspec.structs.replace(one, shard=found.shard)
        if is_restorable(checkpoint, store, log, settings):
            return checkpoint, found.checked
    return None


def _newest(log: ReadableLog, partition: int, until: int | None) -> bytes:
    """The last recorded prediction before the end of the range, as bytes."""
    topic = PREDICTIONS
    end = log.end(topic, partition) if until is None else offset_at(log, topic, partition, until)
    held = end > log.start(topic, partition)
    return log.read(topic, partition, end - 1, max_records=1)[0].value if held else b""


def _root(home: Home) -> Path:
    return home.root / "audits"
