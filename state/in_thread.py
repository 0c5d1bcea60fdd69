"""A call beside its caller."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def in_thread(call: Callable[[], T], name: str) -> Future[T]:
    """What a call gives, from a thread that the end of the program, unlike an executor's, leaves.

    Args:
        call: Its error is raised where the result is asked for.
        name: Of the thread.

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
