"""When the old records of a partition go, so that recovery still finds what it has to repeat.

Kafka's own retention would in the end empty a partition where nothing comes, and with the newest
record the number of the next one would be lost.
"""

import time
from collections.abc import Callable

_SHARE = 10


class Retention:
    """Of one partition of a topic that this process writes.

    A writer that was killed goes on from its newest checkpoint and repeats what came after it. That
    was written last, or it is what this process has written first: records go only up to what was
    there a tenth of the span before, which all checkpoints since have behind them.

    Args:
        span_s: How long records stay; up to a tenth longer.
        first: The number of the first record that this process wrote or repeated.
        clock: Seconds that never run backwards.
    """

    def __init__(
        self, span_s: float, first: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock, self._every_s = clock, span_s / _SHARE
        self._settled = first
        self._due_s = clock() + self._every_s

    def limit(self, end: int) -> int | None:
        """Up to which number records may go now if they are old; None: it is not yet time to look.

        Args:
            end: Of the partition now.
        """
        now = self._clock()
        if now < self._due_s:
            return None
        limit, self._settled = self._settled, end
        self._due_s = now + self._every_s
        return limit
