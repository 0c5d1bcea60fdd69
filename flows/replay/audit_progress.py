"""Audits that were stopped: what they had found, kept in the home until they are done."""

import hashlib
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from flows.home.home import Home
from flows.home.restorable import is_restorable
from flows.replay.held import InUseError, held
from flows.replay.output_check import Checked
from flows.replay.recorded_settings import Stretch
from flows.replay.replay_range import Span
from operators.partition.journal import TOPIC as JOURNAL
from operators.shard.shard import Shard
from state.checkpoints.store import Checkpoint, CheckpointStore, pass_over
from state.log import ReadableLog, offset_at
from state.settings import Settings, deciding
from state.topics import PREDICTIONS

_KEPT = 3


class _Unfinished(msgspec.Struct):
    """A checkpoint's `shard`: the shard's own bytes, and what had been found."""

    shard: bytes
    checked: Checked


def folder_of(
    home: Home, log: ReadableLog, span: Span, shape: str, stretches: Sequence[Sequence[Stretch]]
) -> Path:
    """Where an audit keeps what it found: another one if range, code, settings or log change.

    Of what is recorded the newest prediction of each partition stands for all, by its chain.
    """
    newest = [_newest(log, partition, span.until) for partition in range(len(span.ends))]
    settings = [[(one.begin, deciding(one.settings)) for one in of] for of in stretches]
    question = msgspec.json.encode((span, shape, settings, newest), order="sorted")
    return _root(home) / hashlib.sha256(question).hexdigest()[:10]


def can_keep(home: Home) -> bool:
    """Whether this user may write down in the home how far an audit is."""
    root = _root(home)
    return os.access(root if root.exists() else home.root, os.W_OK)


def drop_old(home: Home, at: Path) -> None:
    """Give up all but the newest few that nobody is at.

    Args:
        home: Whose.
        at: The folder that the caller has; it is kept too.
    """
    folders = [path for path in _root(home).glob("*") if path.is_dir() and path != at]
    for folder in sorted(folders, key=lambda path: path.stat().st_mtime)[:-_KEPT]:
        with suppress(InUseError), held(folder, "audit"):
            shutil.rmtree(folder)


def keep(folder: Path, shard: Shard, checked: Checked) -> None:
    """Write down how far a partition is."""
    position = shard.position
    state = msgspec.msgpack.encode(_Unfinished(shard.snapshot(), checked))
    place = shard.shape, shard.partition, position.offset
    obeyed = {JOURNAL: position.activations}
    CheckpointStore(folder).save(Checkpoint(*place, obeyed, position.boundary, False, shard=state))


def kept(
    folder: Path, partition: int, log: ReadableLog, settings: Settings
) -> tuple[Checkpoint, Checked] | None:
    """How far a partition is, as a checkpoint of its shard and what had been found.

    Args:
        folder: Where an audit keeps it.
        partition: Of `events`.
        log: What is audited.
        settings: What its journal leaves open.
    """
    store = CheckpointStore(folder)
    for one in store.newest_first(partition):
        try:
            found = msgspec.msgpack.decode(one.shard, type=_Unfinished)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            pass_over(store.place_of(one), error)
            continue
        checkpoint = msgspec.structs.replace(one, shard=found.shard)
        if is_restorable(checkpoint, store, log, settings):
            return checkpoint, found.checked
    return None


def _newest(log: ReadableLog, partition: int, until: int | None) -> bytes:
    """The last prediction before the end of the range."""
    topic = PREDICTIONS
    end = log.end(topic, partition) if until is None else offset_at(log, topic, partition, until)
    held = end > log.start(topic, partition)
    return log.read(topic, partition, end - 1, max_records=1)[0].value if held else b""


def _root(home: Home) -> Path:
    return home.root / "audits"
