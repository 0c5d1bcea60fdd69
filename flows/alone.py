"""On the embedded log one process at a time works on a partition; in Kafka fencing sees to that."""

import fcntl
import os
from pathlib import Path

from flows.configuration import ConfigurationError


def claim(root: Path, partition: int) -> int:
    """Have a partition of a home for this process.

    Args:
        root: Of the home.
        partition: Of `events`.

    Returns:
        A file descriptor; closing it lets go of the partition, as the end of the process does.

    Raises:
        ConfigurationError: Another process has it.
    """
    path = root / "running" / f"{partition}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        other = os.read(descriptor, 20).decode() or "unknown"
        os.close(descriptor)
        msg = (
            f"events/{partition} must have one flow at work on it; got process {other} there "
            f"already, which goes on ({path})"
        )
        raise ConfigurationError(msg) from error
    os.truncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor
