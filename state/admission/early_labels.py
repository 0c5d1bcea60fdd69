"""Label events that came before their request, in order of arrival."""

import heapq
from bisect import bisect_left, insort
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import msgspec

from state.restored import Count, check


class EarlyLabel(NamedTuple):
    """A label event that waits for its request.

    Attributes:
        offset: Offset of its record.
        event: The decoded event.
        raw: Value of its record.
    """

    offset: int
    event: Any
    raw: bytes


class EarlyLabels:
    """Holds early labels until their request takes them or the watermark reaches their end.

    Args:
        wait_us: Time after its event time for which each label waits.
        key_of: Returns the key by which its request will look an event up.
        read: Decodes a value; raises a ValueError if it is not a label event.

    Attributes:
        waiting: All waiting labels by offset, in order of arrival.
    """

    def __init__(
        self,
        wait_us: int,
        key_of: Callable[[Any], Hashable],
        read: Callable[[bytes], Any],
    ) -> None:
        self._wait_us, self._key_of, self._read = wait_us, key_of, read
        self.waiting: dict[int, EarlyLabel] = {}
        self._of: dict[Hashable, dict[int, EarlyLabel]] = {}
        self._ends: list[tuple[int, int]] = []
        self._ordered: dict[Hashable, list[tuple[int, int]]] = {}

    def end_of(self, event: Any) -> int:
        """The watermark (µs) at which a label stops waiting."""
        return int(event.time + self._wait_us)

    def add(self, offset: int, event: Any, raw: bytes) -> None:
        """Add a label event."""
        one = EarlyLabel(offset, event, raw)
        self.waiting[offset] = one
        self._of.setdefault(self._key_of(event), {})[offset] = one
        heapq.heappush(self._ends, (self.end_of(event), offset))
        if (ordered := self._ordered.get(self._key_of(event))) is not None:
            insort(ordered, _order(one))

    def first_after(self, key: Hashable, time: int) -> EarlyLabel | None:
        """The waiting label of a key with the lowest event time after `time`, then offset.

        It stays. A key that was asked for once is kept in order, so that a flood of labels and of
        requests for one key costs no more than for many.
        """
        ordered = self._ordered.get(key)
        if ordered is None:
            if key not in self._of:
                return None
            ordered = self._ordered[key] = sorted(map(_order, self._of[key].values()))
        place = bisect_left(ordered, (time + 1, 0))
        return self.waiting[ordered[place][1]] if place < len(ordered) else None

    def take(self, key: Hashable) -> Sequence[EarlyLabel]:
        """Remove and return the waiting labels of a key."""
        found = (*self._of.pop(key, {}).values(),)
        self._ordered.pop(key, None)
        for one in found:
            del self.waiting[one.offset]
        if not self.waiting:
            self._ends.clear()
        return found

    def due(self, watermark: int) -> EarlyLabel | None:
        """Remove and return the first label whose end the watermark has reached."""
        ends = self._ends
        while ends and ends[0][0] <= watermark:
            _, offset = heapq.heappop(ends)
            one = self.waiting.pop(offset, None)
            if one is not None:
                key = self._key_of(one.event)
                del self._of[key][offset]
                if (ordered := self._ordered.get(key)) is not None:
                    del ordered[bisect_left(ordered, _order(one))]
                if not self._of[key]:
                    del self._of[key]
                    self._ordered.pop(key, None)
                return one
        return None

    def snapshot(self) -> bytes:
        """Encode all waiting labels."""
        return msgspec.msgpack.encode([(one.offset, one.raw) for one in self.waiting.values()])

    def restore(self, state: bytes) -> None:
        """Restore a `snapshot`.

        Raises:
            ValueError: A value is not a label event, or the offsets do not ascend.
            msgspec.DecodeError: The bytes have another form.
        """
        waiting = msgspec.msgpack.decode(state, type=list[tuple[Count, bytes]])
        offsets = [offset for offset, _ in waiting]
        check(offsets == sorted(set(offsets)), "offsets of early labels must ascend", offsets)
        for offset, raw in waiting:
            self.add(offset, self._read(raw), raw)

    def check(self, end: int) -> None:
        """Refuse restored labels whose records are not before an offset.

        Raises:
            ValueError: A record is at or after `end`.
        """
        newest = max(self.waiting, default=-1)
        check(newest < end, f"early labels must be of records before {end}", newest)


def _order(label: EarlyLabel) -> tuple[int, int]:
    return label.event.time, label.offset
