"""Event ids seen within a bounded span of event time, for deduplication."""

import msgspec

from state.restored import MOST_US, check


class RecentIds:
    """Ids of the last `span_us` to twice that of event time, in two generations.

    Example:
        >>> ids = RecentIds(span_us=10)
        >>> ids.add("a", now=0)
        >>> "a" in ids
        True
        >>> ids.add("b", now=10); ids.add("c", now=20)
        >>> "a" in ids
        False
    """

    __slots__ = ("_new", "_old", "_span_us", "_turn")

    def __init__(self, span_us: int) -> None:
        self._span_us = span_us
        self._turn = int(span_us)  # msgpack takes no subclass of int
        self._new: dict[str, None] = {}
        self._old: dict[str, None] = {}

    def __contains__(self, event_id: str) -> bool:
        return event_id in self._new or event_id in self._old

    def add(self, event_id: str, now: int) -> None:
        """Remember an id; `now` is the highest event time so far."""
        if now >= self._turn:
            self._old = self._new if now < self._turn + self._span_us else {}
            self._new = {}
            self._turn = now - now % self._span_us + self._span_us
        self._new[event_id] = None

    def snapshot(self) -> bytes:
        """Both generations."""
        return msgspec.msgpack.encode((self._turn, list(self._old), list(self._new)))

    def restore(self, state: bytes) -> None:
        """Take the state from `snapshot`.

        Raises:
            ValueError: An id comes twice, or the time is none.
            msgspec.DecodeError: It is of another form.
        """
        self._turn, old, new = msgspec.msgpack.decode(state, type=tuple[int, list[str], list[str]])
        check(0 < self._turn <= MOST_US, "the next generation must begin after 1970", self._turn)
        self._old, self._new = dict.fromkeys(old), dict.fromkeys(new)
        unique = len(self._old) == len(old) and len(self._new) == len(new)
        check(unique, "recent ids must be unique", len(old) + len(new))
