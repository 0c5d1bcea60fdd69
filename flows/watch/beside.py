"""Work in a thread of its own, for as long as a block lasts."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def beside(
    work: Callable[[], None], stop: threading.Event, name: str, ends_in_s: float
) -> Iterator[None]:
    """Work beside the block; set `stop` at its end, and wait for the work.

    Args:
        work: Returns soon after `stop` is set.
        stop: Asks the work to end.
        name: Name of the thread.
        ends_in_s: Longest wait for the end of the work.
    """
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(ends_in_s)
