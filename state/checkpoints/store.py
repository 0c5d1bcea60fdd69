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
# What unpacks to more than this is refused, unless it is no more than so many times the file.
_MOST_BYTES, _MOST_TIMES = 2**27, 1000
_PADDING = b"\x50\x2a\x4d\x18"  # zstd passes over such a frame (RFC 8878, 3.1.2)
_MOST_COUNTED = 2**62
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
        journal: A hash of the journal's entries that the shard had obeyed; empty: there were none,
            or an earlier version wrote it.
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
    """A shard at one offset.

    Attributes:
        shard: `Shard.snapshot()`.
    """

    shard: bytes


Part = TypeVar("Part", CheckpointHead, Checkpoint)


class DamagedCheckpointError(ValueError):
    """A file is not a checkpoint, or belongs in another place; the message names the rule."""


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
        """The readable checkpoints of a partition; a damaged one is passed over with a warning.

        What comes is well-formed and what its file's name says; whether its `shard` is a state that
        can be restored, only a shard can tell.

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

    def whole(self, head: CheckpointHead) -> Checkpoint | None:
        """The checkpoint of a head; None if it has gone, or been damaged, meanwhile."""
        name = name_of(head.offset, head.boundary, at_boundary=head.at_boundary)
        return self._read(head.partition, name, Checkpoint)

    def drop_beyond(self, partition: int, offset: int, shape: str) -> None:
        """Drop what a shard that goes on from an offset has no use for, nor will write again so.

        Args:
            partition: Of `events`.
            offset: Where it goes on.
            shape: Of its state; what other code wrote stays.
        """
        for name in self._here(partition):
            if offset_of(name) > offset:
                path = self.folder(partition) / name
                head = _read(path, partition, CheckpointHead)
                if head is not None and head.shape == shape:
                    _log.warning("checkpoint %s is of another log, or its output is lost", path)
                    path.unlink(missing_ok=True)

    def folder(self, partition: int) -> Path:
        """Where the checkpoints of a partition are."""
        return self._root / str(partition)

    def drop_before(self, partition: int, offset: int) -> None:
        """Drop those of this home that go on before an offset; copies in a store stay.

        Args:
            partition: Of `events`.
            offset: The first that the log still holds.
        """
        for path in self.folder(partition).glob("*.ckpt"):
            if offset_of(path.name) < offset:
                path.unlink(missing_ok=True)

    def share(self, partition: int) -> None:
        """Have copied what is not in the store yet, if there is one."""
        if self._shared is not None:
            self._shared.copy(partition, self.folder(partition))

    def newest_offset(self, partition: int) -> int:
        """Of the newest checkpoint, whatever is in it; 0 if there is none."""
        return max(map(offset_of, self._names(partition)), default=0)

    def place_of(self, head: CheckpointHead) -> str:
        """Where a checkpoint was found, for people."""
        name = name_of(head.offset, head.boundary, at_boundary=head.at_boundary)
        if head.foreign and self._shared is not None:
            return f"{self._shared}/{head.partition}/{name}"
        return str(self.folder(head.partition) / name)

    def count(self, partition: int) -> int:
        """How many files of a partition there are in the home and the store, readable or not."""
        return len(self._names(partition))

    def written(self, partition: int) -> list[Written]:
        """The checkpoints of a partition by time, unread, beside whoever writes them."""
        found = []
        for name in self._here(partition):
            with suppress(FileNotFoundError):  # it has just been dropped
                at = (self.folder(partition) / name).stat().st_mtime
                found.append(Written(offset_of(name), at))
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
        """The names of the files in the home; what has another name is none of them."""
        names = (path.name for path in self.folder(partition).glob("*.ckpt"))
        return [name for name in names if is_checkpoint(name) or is_earlier(name)]

    def _names(self, partition: int) -> frozenset[str]:
        return self._copies(partition).union(self._here(partition))

    def _copies(self, partition: int) -> frozenset[str]:
        """What the store has; a home with checkpoints of its own does without it."""
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
        """A checkpoint from the first place that has it whole; None: from nowhere."""
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
        why: Whatever it quotes of the file is cut and escaped.
    """
    reason = repr(str(why)[:300])[1:-1]
    message = "checkpoint %s is damaged or of another version: passed over (%s)"
    _log.warning(message, place, reason)


def _read(path: Path, partition: int, part: type[Part]) -> Part | None:
    try:
        content = read_regular(path)
    except FileNotFoundError:  # the flow drops old ones while others read
        return None
    except NotRegularError as error:
        pass_over(path, error)
        return None
    return _decoded(memoryview(content), path, partition, path.name, part)


def _decoded(
    content: memoryview, place: object, partition: int, name: str, part: type[Part]
) -> Part | None:
    """What is in a file; None, with a warning, if it is not what the file says."""
    try:
        found = msgspec.msgpack.decode(_unpacked(content), type=part)
        _check(found, partition, name)
    except (DamagedCheckpointError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as e:
        pass_over(place, e)
        return None
    return found


def _packed(state: bytes) -> bytes:
    """Compressed, and never to less than `_unpacked` takes."""
    packed: bytes = pa.compress(state, codec="zstd", asbytes=True)
    lacking = _least(len(state)) - len(packed)
    if lacking > 0:
        packed += _PADDING + lacking.to_bytes(4, "little") + bytes(lacking)
    return packed


def _unpacked(content: memoryview) -> Any:
    start = len(_MAGIC) + 32
    # Nothing is copied: a thread that copies megabytes keeps those that score waiting.
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
    """How long what unpacks to a size must be at least."""
    return 1 if size <= _MOST_BYTES else -(-size // _MOST_TIMES)


def _check(head: CheckpointHead, partition: int, name: str) -> None:
    """Refuse a head that says otherwise than its file's place.

    Raises:
        DamagedCheckpointError: It does.
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
