"""Checkpoints of shards: a short cut past the head of the log, never the truth."""

import hashlib
import logging
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
import pyarrow as pa

from state.atomic import sweep, write_atomically
from state.checkpoint_names import is_at_boundary, name_of, offset_of, surplus
from state.running_hash import Hashed
from state.shared_checkpoints import SharedCheckpoints

_MAGIC = b"headwater checkpoint 1\n"
_log = logging.getLogger("headwater")


class CheckpointHead(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a checkpoint says of itself.

    Attributes:
        shape: Of the state, see `Shard.shape`.
        partition: Of `events`.
        offset: The next record.
        counters: How many records of each topic it goes together with: what the shard had emitted,
            and the journal's entries that it had obeyed.
        boundary: The newest boundary crossed (µs); part of the file's name.
        at_boundary: Made right at that boundary: kept for replay from there.
        chain: Of the newest prediction emitted, by which a log tells its own checkpoints; empty
            where there was none, or nobody noted it.
        foreign: It came from a store, and not from this home.
        hashed: What had been read of the partition; None: an earlier version wrote it.
        cuts: How many cuts of the partition had been committed.
    """

    shape: str
    partition: int
    offset: int
    counters: dict[str, int]
    boundary: int
    at_boundary: bool
    chain: str = ""
    foreign: bool = False
    hashed: Hashed | None = None
    cuts: int = 0


class Checkpoint(CheckpointHead, frozen=True, kw_only=True):
    """A shard at one offset.

    Attributes:
        shard: `Shard.snapshot()`.
    """

    shard: bytes


Part = TypeVar("Part", CheckpointHead, Checkpoint)


class Written(NamedTuple):
    """That a checkpoint was written, as its file's name and time tell: offset, and Unix time."""

    offset: int
    at: float


class CheckpointStore:
    """Checkpoints in a directory, one file each, checksummed.

    The newest few of each partition are kept, and all that were made at a boundary.

    Args:
        root: The directory; made when the first checkpoint is written.
        shared: Has copies, which serve where the directory lacks them or they are damaged; None:
            there are none.
    """

    def __init__(self, root: Path, shared: SharedCheckpoints | None = None) -> None:
        self._root, self._shared = root, shared

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write one; it is durable when this returns."""
        state = msgspec.msgpack.encode(checkpoint)
        packed = pa.compress(state, codec="zstd", asbytes=True)
        body = len(state).to_bytes(8, "little") + packed
        folder = self.folder(checkpoint.partition)
        at_boundary = checkpoint.at_boundary
        path = folder / name_of(checkpoint.offset, checkpoint.boundary, at_boundary=at_boundary)
        write_atomically(path, _MAGIC + hashlib.sha256(body).digest() + body)
        for name in surplus(path.name for path in folder.glob("*.ckpt")):
            (folder / name).unlink(missing_ok=True)
        sweep(folder)
        if self._shared is not None:
            self._shared.copy(checkpoint.partition, folder, path.name)
        return path

    def newest_first(
        self, partition: int, *, before: int = sys.maxsize, at_boundary: bool = False
    ) -> Iterator[Checkpoint]:
        """The readable checkpoints of a partition; a damaged one is skipped with a warning.

        Args:
            partition: Of `events`.
            before: Only those that go on with this offset or an earlier one.
            at_boundary: Only those made at a boundary.
        """
        yield from self._newest_first(Checkpoint, partition, before, at_boundary=at_boundary)

    def heads(
        self, partition: int, *, before: int = sys.maxsize, at_boundary: bool = False
    ) -> Iterator[CheckpointHead]:
        """The heads of `newest_first`: their states are verified, but stay where they are.

        Args:
            partition: Of `events`.
            before: Only those that go on with this offset or an earlier one.
            at_boundary: Only those made at a boundary.
        """
        yield from self._newest_first(CheckpointHead, partition, before, at_boundary=at_boundary)

    def drop_beyond(self, partition: int, offset: int, shape: str) -> None:
        """Drop what a shard that goes on from an offset has no use for, nor will write again so.

        Args:
            partition: Of `events`.
            offset: Where it goes on.
            shape: Of its state; what other code wrote stays.
        """
        for path in self.folder(partition).glob("*.ckpt"):
            if offset_of(path.name) > offset:
                head = _read(path, CheckpointHead)
                if head is not None and head.shape == shape:
                    _log.warning("checkpoint %s is of another log, or its output is lost", path)
                    path.unlink(missing_ok=True)

    def folder(self, partition: int) -> Path:
        """Where the checkpoints of a partition are."""
        return self._root / str(partition)

    def share(self, partition: int) -> None:
        """Have copied what is not in the store yet, if there is one."""
        if self._shared is not None:
            self._shared.copy(partition, self.folder(partition))

    def newest_offset(self, partition: int) -> int:
        """Of the newest checkpoint, whatever is in it; 0 if there is none."""
        names = self._names(partition)
        return offset_of(max(names)) if names else 0

    def written(self, partition: int) -> list[Written]:
        """The checkpoints of a partition by time, unread, beside whoever writes them."""
        found = []
        for path in self.folder(partition).glob("*.ckpt"):
            with suppress(FileNotFoundError):  # it has just been dropped
                found.append(Written(offset_of(path.name), path.stat().st_mtime))
        return sorted(found, key=lambda one: one.at)

    def _newest_first(
        self, part: type[Part], partition: int, before: int, *, at_boundary: bool
    ) -> Iterator[Part]:
        for name in sorted(self._names(partition), reverse=True):
            if offset_of(name) <= before and (is_at_boundary(name) or not at_boundary):
                found = self._read(partition, name, part)
                if found is not None:
                    yield found

    def _names(self, partition: int) -> frozenset[str]:
        here = (path.name for path in self.folder(partition).glob("*.ckpt"))
        return self._copies(partition).union(here)

    def _copies(self, partition: int) -> frozenset[str]:
        """What the store has; a home with checkpoints of its own does without it."""
        if self._shared is None:
            return frozenset()
        try:
            return self._shared.names(partition)
        except OSError as error:
            if not any(self.folder(partition).glob("*.ckpt")):
                raise
            self._shared.tell(error)
            return frozenset()

    def _read(self, partition: int, name: str, part: type[Part]) -> Part | None:
        """A checkpoint from the first place that has it whole; None: from nowhere."""
        found = _read(self.folder(partition) / name, part)
        if found is None and self._shared is not None and name in self._copies(partition):
            content = self._shared.read(partition, name)
            if content is not None:
                found = _decoded(content, f"{self._shared}/{partition}/{name}", part)
            if found is not None:
                found = msgspec.structs.replace(found, foreign=True)
        return found


def _read(path: Path, part: type[Part]) -> Part | None:
    try:
        return _decoded(path.read_bytes(), path, part)
    except FileNotFoundError:  # the flow drops old ones while others read
        return None


def _decoded(content: bytes, place: object, part: type[Part]) -> Part | None:
    """What is in a file; None, with a warning, if it is damaged."""
    start = len(_MAGIC) + 32
    # Nothing is copied: a thread that copies megabytes keeps those that score waiting.
    digest, body = content[len(_MAGIC) : start], memoryview(content)[start:]
    if content[: len(_MAGIC)] != _MAGIC or hashlib.sha256(body).digest() != digest:
        _log.warning("checkpoint %s is damaged or of another version: passed over", place)
        return None
    size = int.from_bytes(body[:8], "little")
    packed = pa.decompress(body[8:], decompressed_size=size, codec="zstd")
    return msgspec.msgpack.decode(packed, type=part)
