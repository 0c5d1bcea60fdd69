"""Limit how often repeated work is done, so that it leaves time for other work."""

import time
from collections.abc import Callable

_SPACING, _SHORT_S = 5, 1.0
"""Work that takes longer than a second gets at most a fifth of the time, beyond that second."""


class Pace:
    """Tells when repeated work is due: every `seconds`, or less often if it takes long.

    On a machine much too slow for a flow, checkpoints alone would otherwise fill the time between
    them, and the flow would make no progress.

    Args:
        seconds: Seconds between two runs.
        clock: Returns seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._begun, self._wait = clock(), seconds
        self._is_begun = False

    def is_due(self) -> bool:
        """Whether the work is due; if so, it begins now."""
        return self._begin_after(self._wait)

    def is_due_at_rest(self) -> bool:
        """Whether the work is due while nothing else waits to be done."""
        return self._begin_after(self._seconds)

    def done(self) -> None:
        """Note the end of the work, whether it was due or not."""
        if self._is_begun:
            self._is_begun = False
            took = self._clock() - self._begun
            self._wait = max(self._seconds, _SPACING * (took - _SHORT_S))

    def _begin_after(self, seconds: float) -> bool:
        now = self._clock()
        if now - self._begun < seconds:
            return False
        self._begun, self._wait, self._is_begun = now, self._seconds, True
        return True
