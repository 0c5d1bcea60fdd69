"""Merge several files of events by the append times of their events."""

import heapq
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing
from typing import Generic, NamedTuple, Protocol, TypeVar

MOST_OPEN = 32
"""Most files that may overlap in time: each is open, with some of its records in memory."""


class Timed(Protocol):
    """A record with its append time; these never decrease in a file."""

    @property
    def append_time(self) -> int:
        """Microseconds UTC."""


T = TypeVar("T", bound=Timed)


class TimedFile(NamedTuple, Generic[T]):
    """A file whose records have append times.

    Attributes:
        name: Name shown to people.
        since: Time of its first record, microseconds UTC.
        read: Returns its records from the first on.
    """

    name: str
    since: int
    read: Callable[[], Generator[T]]


def merged(files: Sequence[TimedFile[T]]) -> Generator[tuple[int, T]]:
    """The records of all files by time; those of equal time in the order of the files.

    A file is open only while its records are merged.

    Args:
        files: Files, each in the order of its append times.

    Yields:
        The index of a file, and its next record.

    Raises:
        ValueError: More than `MOST_OPEN` files overlap.

    Example:
        >>> class One(NamedTuple):
        ...     append_time: int
        >>> def file(*times):
        ...     return TimedFile("x", times[0], lambda: (One(time) for time in times))
        >>> [(i, one.append_time) for i, one in merged([file(2, 5), file(1, 2, 7)])]
        [(1, 1), (0, 2), (1, 2), (0, 5), (1, 7)]
    """
    turns = [(file.since, number) for number, file in enumerate(files)]
    heapq.heapify(turns)
    current: dict[int, tuple[T, Generator[T]]] = {}
    with ExitStack() as opened:
        while turns:
            _, number = heapq.heappop(turns)
            if number in current:
                record, records = current.pop(number)
                yield number, record
            elif len(current) < MOST_OPEN:
                records = opened.enter_context(closing(files[number].read()))
            else:
                msg = (
                    f"at most {MOST_OPEN} files may overlap in time; got one more, "
                    f"{files[number].name}: sort them into fewer files first"
                )
                raise ValueError(msg)
            following = next(records, None)
            if following is not None:
                current[number] = following, records
                heapq.heappush(turns, (following.append_time, number))
