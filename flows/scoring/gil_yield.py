"""Release the interpreter's lock (GIL) often, so that a scoring thread never waits long for it.

A waiting thread gets the lock when the thread that holds it sleeps, else only after 5 ms
(`sys.getswitchinterval`). So a thread that works beside scoring threads sleeps often and shortly.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

_PAUSE_S = 0.000_01
_LEAST_TURN_S = 0.000_25
_MOST_TURN_S = 0.000_5
_SHARE = 0.1
"""Part of the time waited for the lock that is added to a turn, so that busy threads leave it a
share."""


class GilYielder:
    """Sleeps for a moment if it has held the lock long enough; make one for each thread."""

    __slots__ = ("_end",)

    def __init__(self) -> None:
        self._end = time.perf_counter() + _LEAST_TURN_S

    def __call__(self) -> None:
        """Sleep if it is time; call this wherever the lock may be released."""
        now = time.perf_counter()
        if now < self._end:
            return
        time.sleep(_PAUSE_S)
        begin = time.perf_counter()
        self._end = begin + min(max(_LEAST_TURN_S, _SHARE * (begin - now)), _MOST_TURN_S)


@contextmanager
def taking_turns() -> Iterator[None]:
    """Release the lock in time within this block, at each call and each return in this thread.

    For background work only: it becomes several times slower, and a profiler of this thread sees
    nothing of it.
    """
    before, turns = sys.getprofile(), GilYielder()
    sys.setprofile(lambda *_: turns())
    try:
        yield
    finally:
        sys.setprofile(before)
