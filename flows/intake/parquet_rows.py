"""Parquet and Avro as JSON objects, a row each, decoded in a process whose memory is limited.

How much memory decoding takes cannot be known beforehand: the footer of Parquet may lie, and two
kilobytes of dictionary and run lengths stand for any number of values. So a decoder
(`flows.intake.parquet_decoder`, `flows.intake.avro_decoder`) runs as a child, under a limit that
the kernel keeps. A file that needs more is refused, and so is one that crashes the decoder.
"""

import os
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from typing import NamedTuple

import msgspec

import flows
from flows.intake import parquet_decoder

MEMORY_BYTES = 320 * 2**20
"""Heap limit of the decoder; its code and its start take some 60 MiB more."""

PARQUET, AVRO = "flows.intake.parquet_decoder", "flows.intake.avro_decoder"
"""The decoders, as modules."""

_OWN = str(Path(flows.__file__).parents[1])


class Decoded(NamedTuple):
    """A table being decoded.

    Attributes:
        table: Description of the table.
        rows: Rows as JSON objects, each with the share of all rows read so far.
    """

    table: parquet_decoder.TableInfo
    rows: Iterator[tuple[bytes, float]]


def parquet_rows(
    path: Path,
    most_value: int,
    most_bytes: int,
    *,
    memory: int = MEMORY_BYTES,
    decoder: str = PARQUET,
) -> Iterator[tuple[bytes, float]]:
    """The rows of a file as JSON objects, bytes in base64; else as `decoded`."""
    with decoded(path, most_value, most_bytes, memory=memory, decoder=decoder) as (_, rows):
        yield from rows


@contextmanager
def decoded(
    path: Path,
    most_value: int,
    most_bytes: int,
    *,
    binary: Iterable[str] | None = None,
    memory: int = MEMORY_BYTES,
    decoder: str = PARQUET,
) -> Iterator[Decoded]:
    """Decode the table in a file.

    Columns that are null in a row are left out of its object; timestamps are microseconds.

    Args:
        path: The file.
        most_value: Largest size of one object, bytes.
        most_bytes: Largest size of all objects together, bytes.
        binary: Columns whose bytes become base64; bytes of other columns become text if they are
            UTF-8; None: bytes of all columns become base64.
        memory: Memory limit of the decoder, bytes.
        decoder: `PARQUET` or `AVRO`.

    Raises:
        OSError: The file is broken, a column is repeated, or a limit is exceeded.
    """
    words = [sys.executable, "-P", "-m", decoder, str(path.absolute())]
    limits = [str(most_value), str(most_bytes), str(memory)]
    texts = [] if binary is None else [parquet_decoder.AS_TEXT, *binary]
    # Arrow's other pools reserve addresses by the gigabyte.
    environment = os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system", "PYTHONPATH": _OWN}
    with Popen([*words, *limits, *texts], stdout=PIPE, stderr=PIPE, env=environment) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        try:
            frames = parquet_decoder.frames(child.stdout)
            table = next(frames, None)
            if table is None:
                raise _failure(child, memory)
            described = msgspec.json.decode(table, type=parquet_decoder.TableInfo)
            yield Decoded(described, _rows(frames, described.rows, child, memory))
        finally:
            child.kill()


def _rows(
    frames: Iterator[bytes], total: int, child: Popen[bytes], memory: int
) -> Iterator[tuple[bytes, float]]:
    for number, value in enumerate(frames, 1):
        yield value, min(1.0, number / max(1, total))
    if child.wait():
        raise _failure(child, memory)


def _failure(child: Popen[bytes], memory: int) -> OSError:
    """The error for a decoder that ended."""
    assert child.stderr is not None
    message, code = child.stderr.read().decode(errors="replace"), child.wait()
    if code == parquet_decoder.REFUSED:
        return OSError(message)
    if code in {-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGFPE, -signal.SIGILL}:
        return OSError(f"a file that crashes its decoder (signal {-code})")
    return OSError(f"more than {memory >> 20} MiB to decode: {parquet_decoder.HINT}")
