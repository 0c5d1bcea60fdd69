"""Wait for the end of another process."""

import os
import select


def ended_within(pid: int, seconds: float) -> bool:
    """Whether a process, child or not, ends in time."""
    try:
        watch = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        # Not `select`, which takes no descriptor beyond 1,023.
        waiting = select.poll()
        waiting.register(watch, select.POLLIN)
        return bool(waiting.poll(1000 * seconds))
    finally:
        os.close(watch)
