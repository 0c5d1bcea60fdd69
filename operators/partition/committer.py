"""Commits of one partition beside its processing, in order, as many at once as have gathered."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Committer(Generic[T]):
    """Writes batches in its own thread, so that the caller can prepare the next batch meanwhile.

    Batches that come during a write, and within `every_s` of its start, are written together.
    After an error nothing more is written, and every call raises that error.

    Args:
        write: Writes batches durably before it returns.
        every_s: Shortest time from the start of one write to the start of the next, seconds.
    """

    def __init__(self, write: Callable[[Sequence[T]], None], every_s: float) -> None:
        self._write, self._every_s = write, every_s
        self._changed = threading.Condition()
        self._waiting: list[T] = []
        self._is_writing = self._is_urgent = False
        self._failure: BaseException | None = None
        # Left behind by an end of the process, as by a kill: the next run makes it again.
        threading.Thread(target=self._run, name="commit", daemon=True).start()

    def put(self, item: T) -> None:
        """Have an item written after all before it.

        Raises:
            BaseException: A write failed.
        """
        with self._changed:
            self.check()
            self._waiting.append(item)
            self._changed.notify_all()

    def drain(self) -> None:
        """Return once all that was put is durable; errors as for `put`."""
        with self._changed:
            self._is_urgent = True
            self._changed.notify_all()
            self._changed.wait_for(self._is_still)
            self._is_urgent = False
            self.check()

    def check(self) -> None:
        """Raise the error that a write failed with, if one did."""
        if self._failure is not None:
            raise self._failure

    def _is_still(self) -> bool:
        return self._failure is not None or not (self._waiting or self._is_writing)

    def _run(self) -> None:
        due = 0.0
        while self._failure is None:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                self._changed.wait_for(lambda: self._is_urgent, max(0.0, due - time.monotonic()))
                items, self._waiting = self._waiting, []
                self._is_writing = True
            due = time.monotonic() + self._every_s
            try:
                self._write(items)
            except BaseException as error:  # noqa: BLE001 - it is raised where the flow runs
                self._failure = error
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()
