"""Label events that came before their request, in the order in which they came."""

import heapq
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import msgspec

from state.restored import Count, check


class EarlyLabel(NamedTuple):
    """A label event that waits.

    Attributes:
        offset: Of its record.
        event: As it was decoded.
        raw: The record's value.
    """

    offset: int
    event: Any
    raw: bytes


class EarlyLabels:
    """They leave when their request takes them, or when the watermark reaches their end.

    Args:
        wait_us: How long after its own time each of them waits.
        key_of: The key by which its request will ask for an event.
        read: The event in a value; ValueError if it is no label.

    Attributes:
        waiting: All of them by offset, in the order in which they came.
    """

    def __init__(
        self,
        wait_us: int,
        key_of: Callable[[Any], Hashable],
        read: Callable[[bytes], Any],
    ) -> None:
        self._wait_us, self._key_of, self._read = wait_us, key_of, read
        self.waiting: dict[int, EarlyLabel] = {}
        self._of: dict[Hashable, list[EarlyLabel]] = {}
        self._ends: list[tuple[int, int]] = []

    def end_of(self, event: Any) -> int:
        """The watermark (µs) from which on an event waits no longer."""
        return int(event.time + self._wait_us)

    def add(self, offset: int, event: Any, raw: bytes) -> None:
        """Let an event wait."""
        one = EarlyLabel(offset, event, raw)
        self.waiting[offset] = one
        self._of.setdefault(self._key_of(event), []).append(one)
        heapq.heappush(self._ends, (self.end_of(event), offset))

    def of(self, key: Hashable) -> Sequence[EarlyLabel]:
        """The events of a key, in the order in which they came; they go on waiting."""
        return self._of.get(key, ())

    def take(self, key: Hashable) -> Sequence[EarlyLabel]:
        """Remove the events of a key; as for `of`."""
        found = self._of.pop(key, ())
        for one in found:
            del self.waiting[one.offset]
        if not self.waiting:
            self._ends.clear()
        return found

    def due(self, watermark: int) -> EarlyLabel | None:
        """Remove and return the first event whose end the watermark has reached."""
        ends = self._ends
        while ends and ends[0][0] <= watermark:
            _, offset = heapq.heappop(ends)
            one = self.waiting.pop(offset, None)
            if one is not None:
                key = self._key_of(one.event)
                left = [other for other in self._of[key] if other is not one]
                if left:
                    self._of[key] = left
                else:
                    del self._of[key]
                return one
        return None

    def snapshot(self) -> bytes:
        """All that wait."""
        return msgspec.msgpack.encode([(one.offset, one.raw) for one in self.waiting.values()])

    def restore(self, state: bytes) -> None:
        """Take the state from `snapshot`.

        Raises:
            ValueError: A value is no label, or the order is none.
            msgspec.DecodeError: It is of another form.
        """
        waiting = msgspec.msgpack.decode(state, type=list[tuple[Count, bytes]])
        offsets = [offset for offset, _ in waiting]
        check(offsets == sorted(set(offsets)), "offsets of early labels must ascend", offsets)
        for offset, raw in waiting:
            self.add(offset, self._read(raw), raw)

    def check(self, end: int) -> None:
        """Refuse what `restore` took if it is not of records before an offset.

        Raises:
            ValueError: It is not.
        """
        newest = max(self.waiting, default=-1)
        check(newest < end, f"early labels must be of records before {end}", newest)
