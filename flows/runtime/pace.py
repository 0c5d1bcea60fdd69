"""How often work that returns is done, so that it leaves time for other work."""

import time
from collections.abc import Callable

_SPACING, _SHORT_S = 5, 1.0
"""What takes longer than a second has at most a fifth of the time, beyond that second."""


class Pace:
    """When work that returns is due: once in so many seconds, or less often where it takes long.

    On a machine that gives a flow a tenth of what it needs, checkpoints alone would fill the time
    that they are due after, and the flow would stand still.

    Args:
        seconds: From one to the next.
        clock: Seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._begun, self._wait = clock(), seconds
        self._is_begun = False

    def is_due(self) -> bool:
        """Whether it is time; the work begins then."""
        return self._begin_after(self._wait)

    def is_due_at_rest(self) -> bool:
        """Whether it is time while there is no other work, to which nothing need be left."""
        return self._begin_after(self._seconds)

    def done(self) -> None:
        """The work has ended; it need not have been due."""
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
