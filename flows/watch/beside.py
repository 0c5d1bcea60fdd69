"""Work in a thread of its own, for as long as a block lasts."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager

from state.in_thread import in_thread


@contextmanager
def beside(
    work: Callable[[], None], stop: threading.Event, name: str, ends_in_s: float
) -> Iterator[None]:
    """Work beside the block; set `stop` at its end, and wait for the work.

    If the work fails, the process gets SIGTERM, and the end of the block raises the work's error:
    without the work, all that the process shows would be old.

    Args:
        work: Returns soon after `stop` is set.
        stop: Asks the work to end.
        name: Name of the thread.
        ends_in_s: Longest wait for the end of the work.
    """
    working = in_thread(work, name)
    working.add_done_callback(_end_if_failed)
    try:
        yield
    finally:
        stop.set()
        if wait([working], ends_in_s).done:
            working.result()


def _end_if_failed(work: Future[None]) -> None:
    if work.exception() is not None:
        os.kill(os.getpid(), signal.SIGTERM)
