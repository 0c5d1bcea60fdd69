"""Parquet as JSON objects, a row each, decoded in a process whose memory is limited.

How much memory decoding takes cannot be known beforehand: its footer may lie, and two
kilobytes of dictionary and run lengths stand for any number of values. So
`flows.intake.parquet_decoder` runs as a child, under a limit that the kernel keeps. A file that
needs more is refused, and so is one that crashes the decoder.
"""

import os
import signal
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, Popen
from typing import IO

from flows.intake import parquet_decoder

MEMORY_BYTES = 320 * 2**20
"""The heap that the decoder may take; with its code and its start it is some 60 MiB more."""


def parquet_rows(
    path: Path, most_value: int, most_bytes: int, *, memory: int = MEMORY_BYTES
) -> Iterator[tuple[bytes, float]]:
    """The rows of a file as JSON objects, each with the share of all rows that was read by then.

    Columns that are null in a row are left out; timestamps are microseconds.

    Args:
        path: Which file.
        most_value: The largest object, in bytes.
        most_bytes: The most that all objects may be together.
        memory: The decoder's limit.

    Raises:
        OSError: The file is broken, its columns are not distinct, or it needs more than a limit.
    """
    words = [sys.executable, "-P", parquet_decoder.__file__, str(path)]
    limits = [str(most_value), str(most_bytes), str(memory)]
    # Arrow's other pools reserve addresses by the gigabyte.
    environment = os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system"}
    with Popen([*words, *limits], stdout=PIPE, stderr=PIPE, env=environment) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        try:
            yield from _rows(child.stdout)
            message = child.stderr.read().decode(errors="replace")
            code = child.wait()
        finally:
            child.kill()
    if code == parquet_decoder.REFUSED:
        raise OSError(message)
    if code:
        why = f"more than {memory >> 20} MiB to decode: {parquet_decoder.HINT}"
        if code in {-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGFPE, -signal.SIGILL}:
            why = f"a file that crashes its decoder (signal {-code})"
        raise OSError(why)


def _rows(stream: IO[bytes]) -> Iterator[tuple[bytes, float]]:
    head = stream.read(8)
    total = max(1, struct.unpack("<q", head)[0]) if len(head) == 8 else 1
    for number, value in enumerate(parquet_decoder.frames(stream), 1):
        yield value, min(1.0, number / total)
