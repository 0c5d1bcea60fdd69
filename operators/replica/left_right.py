"""Two copies of one thing, so that readers never wait for its writer (left-right).

Readers use the active copy; the writer changes the idle one, makes it the active one, waits until
no reader is left on the other, and changes that as well (Ramalhete and Correia, Left-Right: A
Concurrency Control Technique with Wait-Free Population Oblivious Reads, 2015).
"""

import threading
import time
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")
_LOOK_AGAIN_S = 0.000_05


class BusyError(RuntimeError):
    """A reader does not leave; the copy it may be on is one change behind, for good."""


class Reading(Generic[T]):
    """One thread's way to the active copy, for one `with` at a time.

    The count is odd while the thread reads; it is raised before the active copy is looked up, so
    that a writer that finds it even after the change of sides knows that no one is on the old one.
    An exit that a signal handler's exception keeps from happening is made up by the next entry.
    """

    __slots__ = ("__weakref__", "_of", "count")

    def __init__(self, of: "LeftRight[T]") -> None:
        self._of = of
        self.count = 0

    def __enter__(self) -> T:
        """The active copy: it does not change before `__exit__`."""
        self.count = (self.count + 1) | 1
        return self._of.active

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let the writer have the copy."""
        self.count = (self.count | 1) + 1


class LeftRight(Generic[T]):
    """Any number of readers, and one writer.

    Args:
        left: One copy; the first that is read.
        right: The other; in the same state.
        most_wait_s: For a reader to leave a copy.

    Attributes:
        active: The copy that readers take.
        idle: The copy that the writer changes first.

    Example:
        >>> both = LeftRight([1], [1])
        >>> both.write(lambda copy: copy.append(2))
        >>> with both.reading() as copy:
        ...     copy
        [1, 2]
    """

    def __init__(self, left: T, right: T, most_wait_s: float = 10.0) -> None:
        self.active, self.idle = left, right
        self._most_wait_s = most_wait_s
        self._lock = threading.Lock()
        self._readings: list[weakref.ref[Reading[T]]] = []

    def reading(self) -> Reading[T]:
        """A way to read, to be kept by one thread; it is forgotten with its last reference."""
        reading = Reading(self)
        with self._lock:
            self._readings = [known for known in self._readings if known() is not None]
            self._readings.append(weakref.ref(reading))
        return reading

    def write(self, change: Callable[[T], object], pause: Callable[[], object] = int) -> None:
        """Make the same change to both copies, one after the other.

        Args:
            change: What it raises for the first copy leaves readers with the other, unchanged.
            pause: Called before the second change.

        Raises:
            BusyError: A reader did not leave in time: there must be no other `write`.
        """
        change(self.idle)
        self.active, self.idle = self.idle, self.active
        pause()
        self._let_go()
        change(self.idle)

    def _let_go(self) -> None:
        """Return once every reader that may have found the copy that is now idle has left it."""
        with self._lock:
            readings = list(self._readings)
        for known in readings:
            self._wait_for(known)

    def _wait_for(self, known: weakref.ref[Reading[T]]) -> None:
        if (seen := _count(known)) % 2 == 0:
            return
        until = time.monotonic() + self._most_wait_s
        while _count(known) == seen:
            if time.monotonic() > until:
                msg = (
                    f"reader must leave its copy within {self._most_wait_s:g} s; got one that stays"
                )
                raise BusyError(msg)
            time.sleep(_LOOK_AGAIN_S)


def _count(known: weakref.ref[Reading[T]]) -> int:
    """Even, too, once its thread is gone: no reference is kept here that would keep it alive."""
    reading = known()
    return 0 if reading is None else reading.count
