"""Two copies of one object, so that readers never wait for its writer (left-right).

Readers use the active copy. The writer changes the idle copy, makes it the active one, waits until
no reader uses the other, and changes that too (Ramalhete and Correia, Left-Right: A
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
    """A reader does not release its copy, which stays one change behind."""


class ReadHandle(Generic[T]):
    """One thread's handle on the active copy, for one `with` block at a time.

    The count is odd while the thread reads. It is raised before the active copy is looked up, so if
    a writer sees an even count after the swap, the thread does not use the old copy. If an
    exception of a signal handler prevents the exit, the next entry corrects the count.
    """

    __slots__ = ("__weakref__", "_of", "count")

    def __init__(self, of: "LeftRight[T]") -> None:
        self._of = of
        self.count = 0

    def __enter__(self) -> T:
        """Return the active copy, which does not change before `__exit__`."""
        self.count = (self.count + 1) | 1
        return self._of.active

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release the copy for the writer."""
        self.count = (self.count | 1) + 1


class LeftRight(Generic[T]):
    """Two copies with any number of readers and one writer.

    Args:
        left: The copy that is active first.
        right: The other copy, in the same state.
        most_wait_s: Longest wait for a reader to release a copy, seconds.

    Attributes:
        active: The copy that readers use.
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
        self._readings: list[weakref.ref[ReadHandle[T]]] = []

    def reading(self) -> ReadHandle[T]:
        """A reader's handle, for one thread; it is dropped with its last reference."""
        reading = ReadHandle(self)
        with self._lock:
            self._readings = [known for known in self._readings if known() is not None]
            self._readings.append(weakref.ref(reading))
        return reading

    def write(self, change: Callable[[T], object], pause: Callable[[], object] = int) -> None:
        """Apply the same change to both copies, one after the other.

        Args:
            change: Changes a copy; if it raises for the first copy, readers keep the other,
                unchanged.
            pause: Called before the second change.

        Raises:
            BusyError: A reader did not release its copy in time; `write` must not be called again.
        """
        change(self.idle)
        self.active, self.idle = self.idle, self.active
        pause()
        self._let_go()
        change(self.idle)

    def _let_go(self) -> None:
        """Wait until every reader that may use the copy which is now idle has released it."""
        with self._lock:
            readings = list(self._readings)
        for known in readings:
            self._wait_for(known)

    def _wait_for(self, known: weakref.ref[ReadHandle[T]]) -> None:
        if (seen := _count(known)) % 2 == 0:
            return
        until = time.monotonic() + self._most_wait_s
        while _count(known) == seen:
            if time.monotonic() > until:
                msg = f"reader must leave its copy within {self._most_wait_s:g} s; it has not"
                raise BusyError(msg)
            time.sleep(_LOOK_AGAIN_S)


def _count(known: weakref.ref[ReadHandle[T]]) -> int:
    """The reader's count, 0 once its thread has ended; no reference to the reader is kept."""
    reading = known()
    return 0 if reading is None else reading.count
