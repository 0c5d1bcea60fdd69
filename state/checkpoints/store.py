"""Checkpoints of shards: a short cut past the head of the log, never the truth."""

import hashlib
import logging
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
import pyarrow as pa

from state.atomic_write import sweep, write_atomically
from state.checkpoints.keys import SignatureError
from state.checkpoints.names import (
    is_at_boundary,
    is_checkpoint,
    is_earlier,
    name_of,
    offset_of,
    surplus,
)
from state.checkpoints.remote import SharedCheckpoints
from state.log.running_hash import Hashed
from state.regular_file import NotRegularError, read_regular

_MAGIC = b"headwater checkpoint 1\n"
# Larger unpacked states are refused, unless the file is at least 1/1000 of their size.
_MOST_BYTES, _MOST_TIMES = 2**27, 1000
_PADDING = b"\x50\x2a\x4d\x18"  # zstd skips such a frame (RFC 8878, 3.1.2)
_MOST_COUNTED = 2**62
_log = logging.getLogger("headwater")


class CheckpointHead(msgspec.Struct, frozen=True, omit_defaults=True):
    """The parts of a checkpoint besides the state.

    Attributes:
        shape: Layout of the state, see `Shard.shape`.
        partition: Partition of `events`.
        offset: Offset of the next record.
        counters: Number of records in each topic at that point: the shard's output, and the journal
            entries it had obeyed.
        boundary: The newest boundary crossed (µs); part of the file's name.
        at_boundary: Made exactly at that boundary; kept so that a replay can start there.
        chain: Hash chain of the newest prediction, by which a log recognises its own checkpoints;
            empty if there was no prediction or the chain was not recorded.
        foreign: Whether it came from a store and not from this home.
        hashed: Hash of the records read; None: an earlier version wrote the checkpoint.
        cuts: Number of the partition's committed training cuts.
        journal: Hash of the journal entries that the shard had obeyed; empty: there were none, or
            an earlier version wrote the checkpoint.
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
    journal: str = ""


class Checkpoint(CheckpointHead, frozen=True, kw_only=True):
    """The state of a shard at one offset.

    Attributes:
        shard: Bytes of `Shard.snapshot()`.
    """

    shard: bytes


Part = TypeVar("Part", CheckpointHead, Checkpoint)


class DamagedCheckpointError(ValueError):
    """A file is not a valid checkpoint, or is in the wrong place; the message names the rule."""


class Written(NamedTuple):
    """Offset, time (Unix, seconds) and size (bytes) of a checkpoint, read from its file."""

    offset: int
    at: float
    size: int = 0


class CheckpointStore:
    """Checkpoints in a directory, one file each, with a checksum.

    The newest few of each partition are kept, and all that were made at a boundary.

    Args:
        root: The directory; created by the first write.
        shared: Store with copies, used if the directory lacks a file or it is damaged; None: there
            is no store.
    """

    def __init__(self, root: Path, shared: SharedCheckpoints | None = None) -> None:
        self._root, self._shared = root, shared

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint durably."""
        state = msgspec.msgpack.encode(checkpoint)
        body = len(state).to_bytes(8, "little") + _packed(state)
        folder = self.folder(checkpoint.partition)
        at_boundary = checkpoint.at_boundary
        path = folder / name_of(checkpoint.offset, checkpoint.boundary, at_boundary=at_boundary)
        write_atomically(path, _MAGIC + hashlib.sha256(body).digest() + body)
        for name in surplus(self._here(checkpoint.partition)):
            (folder / name).unlink(missing_ok=True)
        sweep(folder)
        if self._shared is not None:
            self._shared.copy(checkpoint.partition, folder, path.name)
        return path

    def newest_first(
        self, partition: int, *, before: int = sys.maxsize, at_boundary: bool = False
    ) -> Iterator[Checkpoint]:
        """The readable checkpoints of a partition, newest first; log a warning for a damaged one.

        The files are well-formed and match their names; only a shard can tell whether their `shard`
        can be restored.

        Args:
            partition: Partition of `events`.
            before: Highest offset of the checkpoints to return.
            at_boundary: Return only checkpoints made at a boundary.
        """
        yield from self._newest_first(Checkpoint, partition, before, at_boundary=at_boundary)

    def heads(
        self, partition: int, *, before: int = sys.maxsize, at_boundary: bool = False
    ) -> Iterator[CheckpointHead]:
        """`newest_first` without the states, which are verified but not loaded.

        Args:
            partition: Partition of `events`.
            before: Highest offset of the checkpoints to return.
            at_boundary: Return only checkpoints made at a boundary.
        """
        yield from self._newest_first(CheckpointHead, partition, before, at_boundary=at_boundary)

    def whole(self, head: CheckpointHead) -> Checkpoint | None:
        """The checkpoint of a head; None if its file was deleted or damaged meanwhile."""
        name = name_of(head.offset, head.boundary, at_boundary=head.at_boundary)
        return self._read(head.partition, name, Checkpoint)

    def drop_beyond(self, partition: int, offset: int, shape: str) -> None:
        """Delete checkpoints beyond the offset at which a shard resumes.

        Args:
            partition: Partition of `events`.
            offset: Offset at which the shard resumes.
            shape: The shard's `shape`; checkpoints of another shape stay.
        """
        for name in self._here(partition):
            if offset_of(name) > offset:
                path = self.folder(partition) / name
                head = _read(path, partition, CheckpointHead)
                if head is not None and head.shape == shape:
                    _log.warning("checkpoint %s is of another log, or its output is lost", path)
                    path.unlink(missing_ok=True)

    def folder(self, partition: int) -> Path:
        """Folder of a partition's checkpoints."""
        return self._root / str(partition)

    def drop_before(self, partition: int, offset: int) -> None:
        """Delete this home's checkpoints before an offset; copies in a store stay.

        Args:
            partition: Partition of `events`.
            offset: The first offset that the log still holds.
        """
        for path in self.folder(partition).glob("*.ckpt"):
            if offset_of(path.name) < offset:
                path.unlink(missing_ok=True)

    def share(self, partition: int) -> None:
        """Start copying files that the store lacks, if there is a store."""
        if self._shared is not None:
            self._shared.copy(partition, self.folder(partition))

    def newest_offset(self, partition: int) -> int:
        """Offset of the newest checkpoint, valid or not; 0 if there is none."""
        return max(map(offset_of, self._names(partition)), default=0)

    def place_of(self, head: CheckpointHead) -> str:
        """The path or address of a checkpoint, for messages."""
        name = name_of(head.offset, head.boundary, at_boundary=head.at_boundary)
        if head.foreign and self._shared is not None:
            return f"{self._shared}/{head.partition}/{name}"
        return str(self.folder(head.partition) / name)

    def count(self, partition: int) -> int:
        """Number of a partition's files in the home and the store, readable or not."""
        return len(self._names(partition))

    def written(self, partition: int) -> list[Written]:
        """Offsets and times of a partition's checkpoints, by time; the files are not read."""
        found = []
        for name in self._here(partition):
            with suppress(FileNotFoundError):  # the flow has just deleted it
                of = (self.folder(partition) / name).stat()
                found.append(Written(offset_of(name), of.st_mtime, of.st_size))
        return sorted(found, key=lambda one: one.at)

    def _newest_first(
        self, part: type[Part], partition: int, before: int, *, at_boundary: bool
    ) -> Iterator[Part]:
        for name in sorted(self._names(partition), reverse=True):
            if offset_of(name) <= before and (is_at_boundary(name) or not at_boundary):
                found = self._read(partition, name, part)
                if found is not None:
                    yield found

    def _here(self, partition: int) -> list[str]:
        """Names of the checkpoint files in the home; other files are ignored."""
        names = (path.name for path in self.folder(partition).glob("*.ckpt"))
        return [name for name in names if is_checkpoint(name) or is_earlier(name)]

    def _names(self, partition: int) -> frozenset[str]:
        return self._copies(partition).union(self._here(partition))

    def _copies(self, partition: int) -> frozenset[str]:
        """Names of the files in the store; if it cannot be reached, the home's own must do."""
        if self._shared is None:
            return frozenset()
        try:
            return self._shared.names(partition)
        except OSError as error:
            if not self._here(partition):
                raise
            self._shared.tell(error)
            return frozenset()

    def _read(self, partition: int, name: str, part: type[Part]) -> Part | None:
        """Read a checkpoint from the home, else from the store; None: neither has it whole."""
        found = _read(self.folder(partition) / name, partition, part)
        if found is None and self._shared is not None and name in self._copies(partition):
            place = f"{self._shared}/{partition}/{name}"
            try:
                content = self._shared.read(partition, name)
            except SignatureError as error:
                pass_over(place, error)
                return None
            if content is not None:
                found = _decoded(content, place, partition, name, part)
            if found is not None:
                found = msgspec.structs.replace(found, foreign=True)
        return found


def pass_over(place: object, why: object) -> None:
    """Warn, in one line, that a checkpoint is not used.

    Args:
        place: Names the file.
        why: The reason; text quoted from the file is cut and escaped.
    """
    reason = repr(str(why)[:300])[1:-1]
    message = "checkpoint %s is damaged or of another version: passed over (%s)"
    _log.warning(message, place, reason)


def _read(path: Path, partition: int, part: type[Part]) -> Part | None:
    try:
        content = read_regular(path)
    except FileNotFoundError:  # the flow deletes old ones while others read
        return None
    except NotRegularError as error:
        pass_over(path, error)
        return None
    return _decoded(memoryview(content), path, partition, path.name, part)


def _decoded(
    content: memoryview, place: object, partition: int, name: str, part: type[Part]
) -> Part | None:
    """Decode a file; None, after a warning, if it is invalid."""
    try:
        found = msgspec.msgpack.decode(_unpacked(content), type=part)
        _check(found, partition, name)
    except (DamagedCheckpointError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as e:
        pass_over(place, e)
        return None
    return found


def _packed(state: bytes) -> bytes:
    """Compress a state, padded to the least size that `_unpacked` accepts."""
    packed: bytes = pa.compress(state, codec="zstd", asbytes=True)
    lacking = _least(len(state)) - len(packed)
    if lacking > 0:
        packed += _PADDING + lacking.to_bytes(4, "little") + bytes(lacking)
    return packed


def _unpacked(content: memoryview) -> Any:
    start = len(_MAGIC) + 32
    # Nothing is copied: copying megabytes would make scoring threads wait.
    digest, body = content[len(_MAGIC) : start], content[start:]
    if content[: len(_MAGIC)] != _MAGIC or hashlib.sha256(body).digest() != digest:
        msg = "its digest must be that of what it holds"
        raise DamagedCheckpointError(msg)
    size = int.from_bytes(body[:8], "little")
    if len(body) - 8 < _least(size):
        msg = (
            f"it must unpack to at most {_MOST_TIMES} times its size; got {size} of {len(body) - 8}"
        )
        raise DamagedCheckpointError(msg)
    try:
        return pa.decompress(body[8:], decompressed_size=size, codec="zstd")
    except (pa.ArrowException, OSError) as error:
        msg = f"what it holds must unpack to {size} bytes; got '{error}'"
        raise DamagedCheckpointError(msg) from error


def _least(size: int) -> int:
    """Least packed size of a state of `size` bytes."""
    return 1 if size <= _MOST_BYTES else -(-size // _MOST_TIMES)


def _check(head: CheckpointHead, partition: int, name: str) -> None:
    """Refuse a head that does not match its file's place.

    Raises:
        DamagedCheckpointError: It does not.
    """
    if head.partition != partition:
        msg = f"partition must be its folder's, {partition}; got {head.partition}"
        raise DamagedCheckpointError(msg)
    numbers = {"offset": head.offset, "boundary": head.boundary, **head.counters}
    numbers["cuts"] = head.cuts
    if head.hashed is not None:
        of = head.hashed
        ordered = 0 <= of.first <= of.near <= of.end <= _MOST_COUNTED
        if not ordered or {len(of.hash), len(of.near_hash)} != {16}:
            msg = f"its running hash must be of offsets in order; got {of.first} to {of.end}"
            raise DamagedCheckpointError(msg)
    for what, number in numbers.items():
        if not 0 <= number <= _MOST_COUNTED:
            msg = f"{what!r} must be a count; got {number}"
            raise DamagedCheckpointError(msg)
    said = name_of(head.offset, head.boundary, at_boundary=head.at_boundary)
    if said != name and not is_earlier(name):
        msg = f"its name must say what it holds, {said}"
        raise DamagedCheckpointError(msg)
