"""The time at which old records of a partition are deleted, so that recovery finds all it needs.

Kafka's own retention could empty a quiet partition, and with the newest record the next sequence
would be lost.
"""

import time
from collections.abc import Callable

_SHARE = 10


class Retention:
    """Retention of one partition of a topic that this process writes.

    A killed writer resumes from its newest checkpoint and repeats the records after it. Those were
    written last, or are the first that this process has written. So only records are deleted that
    were there a tenth of the span earlier, which is before all newer checkpoints.

    Args:
        span_s: Seconds for which records stay; up to a tenth longer.
        first: Sequence of the first record that this process wrote or repeated.
        clock: Returns monotonic seconds.
    """

    def __init__(
        self, span_s: float, first: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock, self._every_s = clock, span_s / _SHARE
        self._settled = first
        self._due_s = clock() + self._every_s

    def limit(self, end: int) -> int | None:
        """The sequence before which old records may be deleted now; None: it is too early to check.

        Args:
            end: End of the partition now.
        """
        now = self._clock()
        if now < self._due_s:
            return None
        limit, self._settled = self._settled, end
        self._due_s = now + self._every_s
        return limit
