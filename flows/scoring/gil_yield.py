"""Short turns at the interpreter's lock, so that a thread that scores never waits long for it.

A thread that wants the lock gets it when the one that has it sleeps, or else only after 5 ms
(`sys.getswitchinterval`). So whoever works beside threads that score sleeps often and shortly.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

_PAUSE_S = 0.000_01
_LEAST_TURN_S = 0.000_25
_MOST_TURN_S = 0.000_5
_SHARE = 0.1
"""Of the time that a turn had to be waited for: so threads that never rest leave it a share."""


class Turns:
    """Sleeps for a moment if its turn has lasted long enough; one for each thread."""

    __slots__ = ("_end",)

    def __init__(self) -> None:
        self._end = time.perf_counter() + _LEAST_TURN_S

    def __call__(self) -> None:
        """To be called wherever the lock may be let go."""
        now = time.perf_counter()
        if now < self._end:
            return
        time.sleep(_PAUSE_S)
        begin = time.perf_counter()
        self._end = begin + min(max(_LEAST_TURN_S, _SHARE * (begin - now)), _MOST_TURN_S)


@contextmanager
def taking_turns() -> Iterator[None]:
    """Whatever this thread does within takes turns: at each call and each return, if it is time.

    Meant for work that no one waits for, for it takes some times as long. A profiler of this
    thread sees nothing of it.
    """
    before, turns = sys.getprofile(), Turns()
    sys.setprofile(lambda *_: turns())
    try:
        yield
    finally:
        sys.setprofile(before)
