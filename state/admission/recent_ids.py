"""Event ids of a bounded span of event time: for deduplication, and for late labels."""

import msgspec

from state.restored import MOST_US, check

OTHER, REQUEST = 0, 1
"""Notes of ids: of other events and of requests; silence replaces the note by the deadline."""


class _State(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    turn: int
    old: list[str]
    new: list[str]
    old_notes: list[int] | None = None
    new_notes: list[int] | None = None


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
        self._turn = int(span_us)  # msgpack refuses subclasses of int
        self._new: dict[str, int] = {}
        self._old: dict[str, int] = {}

    def __contains__(self, event_id: str) -> bool:
        return event_id in self._new or event_id in self._old

    def add(self, event_id: str, now: int, note: int = OTHER) -> None:
        """Remember an id; `now` is the highest event time so far."""
        if now >= self._turn:
            self._old = self._new if now < self._turn + self._span_us else {}
            self._new = {}
            self._turn = now - now % self._span_us + self._span_us
        self._new[event_id] = note

    def note(self, event_id: str) -> int | None:
        """OTHER, REQUEST, or the deadline (µs) at which silence labelled a request; None: unknown.

        Example:
            >>> ids = RecentIds(span_us=10)
            >>> ids.add("a", now=0, note=REQUEST)
            >>> ids.fall_silent("a", deadline=7)
            >>> ids.note("a"), ids.note("b")
            (7, None)
        """
        note = self._new.get(event_id)
        return self._old.get(event_id) if note is None else note

    def fall_silent(self, request_id: str, deadline: int) -> None:
        """Note that silence labelled a request; it is not forgotten earlier or later for that."""
        for ids in (self._new, self._old):
            if request_id in ids:
                ids[request_id] = max(deadline, REQUEST + 1)

    def snapshot(self) -> bytes:
        """Encode both generations."""
        return msgspec.msgpack.encode(
            _State(
                self._turn,
                list(self._old),
                list(self._new),
                list(self._old.values()),
                list(self._new.values()),
            )
        )

    def restore(self, state: bytes) -> None:
        """Restore a `snapshot`, or one of an earlier version without notes.

        Raises:
            ValueError: An id is repeated, a note is invalid, or the time is invalid.
            msgspec.DecodeError: The bytes have another form.
        """
        read = msgspec.msgpack.decode(state, type=_State)
        check(0 < read.turn <= MOST_US, "the next generation must begin after 1970", read.turn)
        self._turn = read.turn
        self._old, self._new = _noted(read.old, read.old_notes), _noted(read.new, read.new_notes)


def _noted(ids: list[str], notes: list[int] | None) -> dict[str, int]:
    if notes is None:  # any id may be a request's: a second label is ignored, as it was then
        notes = [REQUEST] * len(ids)
    check(len(notes) == len(ids), f"each of {len(ids)} recent ids must have a note", len(notes))
    near = min(notes, default=0) >= 0 and max(notes, default=0) <= MOST_US
    check(near, "notes of recent ids must be times", notes)
    found = dict(zip(ids, notes, strict=True))
    check(len(found) == len(ids), "recent ids must be unique", len(ids))
    return found
