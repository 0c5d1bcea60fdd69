"""Requests in the order in which they were asked, until each is labelled and so are all before it.

Where the label 1 comes early and 0 by silence, whatever is weighed in the order of the labels
favours who says 1. So what answered a request waits here for its turn. There is room for MOST at
once. A request that comes while there is none is never weighed: whether it is depends on when it
came alone, not on its label.
"""

from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from state.restored import Count, check, floats

MOST = 2**16
NO_TURN = -1
"""Of a request that came while there was no room."""
_WAITS, _DROPPED = -1, -2


class Turn(NamedTuple):
    """A request whose turn has come.

    Attributes:
        address: Where what answered it lies, until the next `add`.
        label: 0 or 1.
        newest: Number of the offline model that was the newest; 0: there was none.
        older: Likewise of the one before it.
    """

    address: int
    label: int
    newest: int
    older: int


class RequestOrder:
    """What answered each request, by its turn; turns are counted from 0.

    Args:
        parts: How many numbers that is.

    Attributes:
        parts: float64[room, parts]; it moves when it grows.
    """

    def __init__(self, parts: int) -> None:
        self._first, self._end = 0, 0
        self._make(64, parts)

    def __len__(self) -> int:
        return self._end - self._first

    def _make(self, room: int, parts: int) -> None:
        self.parts: NDArray[np.float64] = np.full((room, parts), np.nan)
        self._address: int = self.parts.ctypes.data
        self._labels = [_WAITS] * room
        self._models = [(0, 0)] * room

    def add(self, parts: NDArray[np.float64], newest: int, older: int) -> int:
        """Keep what answered a request; return its turn, NO_TURN without room.

        Args:
            parts: float64[parts].
            newest: Number of the offline model that was the newest; 0: there was none.
            older: Likewise of the one before it.
        """
        room = len(self._labels)
        if self._end - self._first == room:
            if room == MOST:
                return NO_TURN
            self._grow(2 * room)
            room *= 2
        turn = self._end
        place = turn % room
        self.parts[place] = parts
        self._labels[place] = _WAITS
        self._models[place] = newest, older
        self._end += 1
        return turn

    def label(self, turn: int, label: int) -> None:
        """A request's label has come."""
        if turn != NO_TURN:
            self._labels[turn % len(self._labels)] = label

    def drop(self, turn: int) -> None:
        """No label will come: the request is never weighed, and nobody waits for it."""
        if turn != NO_TURN:
            self._labels[turn % len(self._labels)] = _DROPPED

    def next(self) -> Turn | None:
        """The first request, once it is labelled; it leaves."""
        label = _DROPPED
        while label == _DROPPED:
            if self._first == self._end:
                return None
            place = self._first % len(self._labels)
            label = self._labels[place]
            if label == _WAITS:
                return None
            self._first += 1
        return Turn(self._address + place * self.parts.strides[0], label, *self._models[place])

    def place(self, turn: int) -> int:
        """The row in `parts` of a request that has not left."""
        return turn % len(self._labels)

    def models(self, turn: int) -> tuple[int, int]:
        """The numbers of its newest and its older offline model."""
        return self._models[turn % len(self._labels)]

    @property
    def weighed(self) -> int:
        """How many have left."""
        return self._first

    def change_width(self, parts: int) -> None:
        """Go on with so many parts; new ones are absent from what is there, others are left out."""
        before, width = self.parts, min(parts, self.parts.shape[1])
        self.parts = np.full((len(before), parts), np.nan)
        self.parts[:, :width] = before[:, :width]
        self._address = self.parts.ctypes.data

    def snapshot(self) -> bytes:
        """All that wait."""
        places = self._places()
        return msgspec.msgpack.encode(
            (
                self._first,
                [self._labels[place] for place in places],
                [self._models[place] for place in places],
                self.parts[places].tobytes(),
            )
        )

    def restore(self, state: bytes) -> None:
        """Take the state from `snapshot`.

        Raises:
            ValueError: It is not one.
            msgspec.DecodeError: It is of another form.
        """
        first, labels, models, content = msgspec.msgpack.decode(
            state, type=tuple[Count, list[int], list[tuple[Count, Count]], bytes]
        )
        n, width = len(labels), self.parts.shape[1]
        check(n <= MOST and n == len(models), f"turns must be {MOST} at most", n)
        known = {_DROPPED, _WAITS, 0, 1}
        check({*labels} <= known, "labels must be 0, 1, awaited or given up", labels)
        check(not labels or labels[0] == _WAITS, "the first request must wait", labels)
        values = floats(content, "parts")
        check(len(values) == n * width, f"parts must be {width} of each request", len(values))
        check(not np.isinf(values).any(), "parts must be log odds or missing", values)
        room = 64
        while room < n:
            room *= 2
        self._make(room, width)
        self._first, self._end = first, first + n
        places = self._places()
        self.parts[places] = values.reshape(n, width)
        for place, label, of in zip(places, labels, models, strict=True):
            self._labels[place], self._models[place] = label, of

    def check(self, turns: list[int], newest: int) -> None:
        """Refuse what `restore` took if it does not go together with the pending requests.

        Args:
            turns: Theirs.
            newest: The number of the newest offline model.

        Raises:
            ValueError: It does not.
        """
        room = len(self._labels)
        waiting = sorted(
            turn for turn in range(self._first, self._end) if self._labels[turn % room] == _WAITS
        )
        own = sorted(turn for turn in turns if turn != NO_TURN)
        check(own == waiting, "who waits for a label must be pending, once", own)
        numbers = {number for place in self._places() for number in self._models[place]}
        check(max(numbers, default=0) <= newest, f"models must be of number {newest}", numbers)

    def _grow(self, room: int) -> None:
        parts, labels, models = self.parts, self._labels, self._models
        places = self._places()
        self._make(room, parts.shape[1])
        for turn, place in zip(range(self._first, self._end), places, strict=True):
            at = turn % room
            self.parts[at] = parts[place]
            self._labels[at], self._models[at] = labels[place], models[place]

    def _places(self) -> list[int]:
        return [turn % len(self._labels) for turn in range(self._first, self._end)]
