"""Checkpoints of shards: a short cut past the head of the log, never the truth."""

import hashlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pyarrow as pa

from state.atomic import sweep, write_atomically

_MAGIC = b"headwater checkpoint 1\n"
_KEPT = 3
_log = logging.getLogger("headwater")


class Checkpoint(msgspec.Struct, frozen=True):
    """A shard at one offset.

    Attributes:
        shape: Of the state, see `Shard.shape`.
        partition: Of `events`.
        offset: The next record.
        counters: How many records of each topic it goes together with: what the shard had emitted,
            and the journal's entries that it had obeyed.
        boundary: The newest boundary crossed (µs); part of the file's name.
        at_boundary: Made right at that boundary: kept for replay from there.
        shard: `Shard.snapshot()`.
    """

    shape: str
    partition: int
    offset: int
    counters: dict[str, int]
    boundary: int
    at_boundary: bool
    shard: bytes


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
        kind = "boundary" if at_boundary else "*"
        for path in sorted(self._folder(partition).glob(f"*-{kind}.ckpt"), reverse=True):
            if int(path.name.partition("-")[0]) > before:
                continue
            checkpoint = _read(path)
            if checkpoint is not None:
                yield checkpoint

    def _folder(self, partition: int) -> Path:
        return self._root / str(partition)

    def _drop_old(self, partition: int) -> None:
        for path in sorted(self._folder(partition).glob("*-periodic.ckpt"))[:-_KEPT]:
            path.unlink(missing_ok=True)


def _read(path: Path) -> Checkpoint | None:
    content = path.read_bytes()
    start = len(_MAGIC) + 32
    digest, body = content[len(_MAGIC) : start], content[start:]
    if content[: len(_MAGIC)] != _MAGIC or hashlib.sha256(body).digest() != digest:
        _log.warning("checkpoint %s is damaged or of another version: taking the one before", path)
        return None
    size = int.from_bytes(body[:8], "little")
    packed = pa.decompress(body[8:], decompressed_size=size, codec="zstd", asbytes=True)
    return msgspec.msgpack.decode(packed, type=Checkpoint)
