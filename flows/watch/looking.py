"""The thread that looks at a flow every few seconds, and the newest sample for all that ask."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from flows.terminal.json_lines import tell
from flows.watch.beside import beside
from flows.watch.sample import Sample
from flows.watch.watcher import Watcher

_ENDS_IN_S = 10.0


class Looking:
    """Looks in a thread and holds the newest sample, so that a request never waits for the log.

    Args:
        watcher: Looks; used by the thread alone.
        every_s: Seconds between two looks.
        say: Told in one line when the log cannot be read, and when it can again.
    """

    def __init__(self, watcher: Watcher, every_s: float, say: Callable[[str], object]) -> None:
        self._watcher, self._every_s, self._say = watcher, every_s, say
        self._stop = threading.Event()
        self._newest: Sample | None = None
        self._trouble = ""

    def newest(self) -> Sample | None:
        """The newest sample; None before the first."""
        return self._newest

    def going_on(self) -> AbstractContextManager[None]:
        """Look until the block ends."""
        return beside(self._look_on, self._stop, "watcher", _ENDS_IN_S)

    def _look_on(self) -> None:
        try:
            while not self._stop.is_set():
                self._newest = self._watcher.look()
                self._tell(self._newest.trouble)
                self._stop.wait(self._every_s)
        finally:
            self._watcher.close()

    def _tell(self, trouble: str) -> None:
        if bool(trouble) != bool(self._trouble):
            line = f"The log cannot be read: {trouble}" if trouble else "The log is read again."
            tell("log_unreadable" if trouble else "log_readable", line, self._say)
        self._trouble = trouble
