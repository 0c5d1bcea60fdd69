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

_MAGIC = b"headwater checkpoint 1\n"
_KEPT = 3
_log = logging.getLogger("headwater")


class CheckpointHead(msgspec.Struct, frozen=True):
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
    """

    shape: str
    partition: int
    offset: int
    counters: dict[str, int]
    boundary: int
    at_boundary: bool
    chain: str = ""


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
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write one; it is durable when this returns."""
        state = msgspec.msgpack.encode(checkpoint)
        packed = pa.compress(state, codec="zstd", asbytes=True)
        body = len(state).to_bytes(8, "little") + packed
        kind = "boundary" if checkpoint.at_boundary else "periodic"
        name = f"{checkpoint.offset:015d}-{checkpoint.boundary:016d}-{kind}.ckpt"
        path = self._folder(checkpoint.partition) / name
        write_atomically(path, _MAGIC + hashlib.sha256(body).digest() + body)
        self._drop_old(checkpoint.partition)
        sweep(path.parent)
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
        for path in self._folder(partition).glob("*.ckpt"):
            if int(path.name.partition("-")[0]) > offset:
                head = _read(path, CheckpointHead)
                if head is not None and head.shape == shape:
                    _log.warning("checkpoint %s is of another log, or its output is lost", path)
                    path.unlink(missing_ok=True)

    def newest_offset(self, partition: int) -> int:
        """Of the newest checkpoint, whatever is in it; 0 if there is none."""
        names = (path.name for path in self._folder(partition).glob("*.ckpt"))
        return int(max(names, default="0").partition("-")[0])

    def written(self, partition: int) -> list[Written]:
        """The checkpoints of a partition by time, unread, beside whoever writes them."""
        found = []
        for path in self._folder(partition).glob("*.ckpt"):
            with suppress(FileNotFoundError):  # it has just been dropped
                found.append(Written(int(path.name.partition("-")[0]), path.stat().st_mtime))
        return sorted(found, key=lambda one: one.at)

    def _newest_first(
        self, part: type[Part], partition: int, before: int, *, at_boundary: bool
    ) -> Iterator[Part]:
        kind = "boundary" if at_boundary else "*"
        for path in sorted(self._folder(partition).glob(f"*-{kind}.ckpt"), reverse=True):
            if int(path.name.partition("-")[0]) > before:
                continue
            found = _read(path, part)
            if found is not None:
                yield found

    def _folder(self, partition: int) -> Path:
        return self._root / str(partition)

    def _drop_old(self, partition: int) -> None:
        for path in sorted(self._folder(partition).glob("*-periodic.ckpt"))[:-_KEPT]:
            path.unlink(missing_ok=True)


def _read(path: Path, part: type[Part]) -> Part | None:
    try:
        content = path.read_bytes()
    except FileNotFoundError:  # the flow drops old ones while others read
        return None
    start = len(_MAGIC) + 32
    # Nothing is copied: a thread that copies megabytes keeps those that score waiting.
    digest, body = content[len(_MAGIC) : start], memoryview(content)[start:]
    if content[: len(_MAGIC)] != _MAGIC or hashlib.sha256(body).digest() != digest:
        _log.warning("checkpoint %s is damaged or of another version: taking the one before", path)
        return None
    size = int.from_bytes(body[:8], "little")
    packed = pa.decompress(body[8:], decompressed_size=size, codec="zstd")
    return msgspec.msgpack.decode(packed, type=part)
