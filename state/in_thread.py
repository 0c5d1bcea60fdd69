"""Run a function in a thread of its own."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def in_thread(call: Callable[[], T], name: str) -> Future[T]:
    """Run a function in a daemon thread, which does not delay the end of the program.

    Args:
        call: The function; its error is raised by `result` of the future.
        name: Name of the thread.

    Example:
        >>> in_thread(lambda: 6 * 7, "sum").result()
        42
    """
    running: Future[T] = Future()

    def run() -> None:
        try:
            running.set_result(call())
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            running.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return running
