"""Requests in the order they were asked; each waits until it and all before it are labelled.

If label 1 comes early and 0 by silence, weighing models in the order of labels favours those that
predict 1. So the parts of each request's prediction wait here for its turn. There is room for MOST
requests. A request that comes when the room is full is never weighed: that depends only on the time
it came, not on its label.
"""

from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from state.events import TimeUs
from state.restored import Count, check, floats

MOST = 2**16
NO_TURN = -1
"""Turn of a request that came when the room was full."""
_WAITS, _DROPPED = -1, -2


_Answer = tuple[Annotated[float, msgspec.Meta(ge=0, le=1)], TimeUs]
_State = tuple[Count, list[int], list[tuple[Count, Count]], list[_Answer], bytes]


class DueRequest(NamedTuple):
    """A request whose turn has come.

    Attributes:
        address: Address of the parts of its prediction, valid until the next `add`.
        label: 0 or 1.
        newest: Number of the newest offline model at its time; 0: there was none.
        older: Number of the model before that; 0: there was none.
        probability: The answer, P(label is 1).
        event_time: Time of the request, µs.
    """

    address: int
    label: int
    newest: int
    older: int
    probability: float
    event_time: int


class RequestOrder:
    """Parts of each request's prediction, by turn; turns are counted from 0.

    Args:
        parts: Number of parts of a prediction.

    Attributes:
        parts: float64[room, parts]; reallocated when it grows.
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
        self._answers = [(0.0, 0)] * room

    def add(
        self,
        parts: NDArray[np.float64],
        newest: int,
        older: int,
        probability: float,
        event_time: int,
    ) -> int:
        """Keep the parts of a prediction; return its turn, or NO_TURN if the room is full.

        Args:
            parts: float64[parts].
            newest: Number of the newest offline model; 0: there is none.
            older: Number of the model before that; 0: there is none.
            probability: The answer, P(label is 1).
            event_time: Time of the request, µs.
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
        self._answers[place] = probability, event_time
        self._end += 1
        return turn

    def label(self, turn: int, label: int) -> None:
        """Set the label of a request."""
        if turn != NO_TURN:
            self._labels[turn % len(self._labels)] = label

    def drop(self, turn: int) -> None:
        """Mark a request that gets no label: it is never weighed, and no later one waits for it."""
        if turn != NO_TURN:
            self._labels[turn % len(self._labels)] = _DROPPED

    def next(self) -> DueRequest | None:
        """Remove and return the first request once it is labelled; None: it is not."""
        label = _DROPPED
        while label == _DROPPED:
            if self._first == self._end:
                return None
            place = self._first % len(self._labels)
            label = self._labels[place]
            if label == _WAITS:
                return None
            self._first += 1
        address = self._address + place * self.parts.strides[0]
        return DueRequest(address, label, *self._models[place], *self._answers[place])

    def answers(self) -> list[float]:
        """The answers whose turn has not come, but for dropped requests."""
        places = self._places()
        return [self._answers[place][0] for place in places if self._labels[place] != _DROPPED]

    @property
    def end(self) -> int:
        """The next turn."""
        return self._end

    def place(self, turn: int) -> int:
        """The row in `parts` of a request that still waits."""
        return turn % len(self._labels)

    def models(self, turn: int) -> tuple[int, int]:
        """The numbers of the newest and older offline model of a request."""
        return self._models[turn % len(self._labels)]

    @property
    def weighed(self) -> int:
        """Number of requests that have left."""
        return self._first

    def change_width(self, parts: int) -> None:
        """Change the number of parts: add missing ones (NaN) to all requests, or drop the last."""
        before, width = self.parts, min(parts, self.parts.shape[1])
        self.parts = np.full((len(before), parts), np.nan)
        self.parts[:, :width] = before[:, :width]
        self._address = self.parts.ctypes.data

    def snapshot(self) -> bytes:
        """Encode all waiting requests."""
        places = self._places()
        return msgspec.msgpack.encode(
            (
                self._first,
                [self._labels[place] for place in places],
                [self._models[place] for place in places],
                [self._answers[place] for place in places],
                self.parts[places].tobytes(),
            )
        )

    def restore(self, state: bytes) -> None:
        """Restore a `snapshot`.

        Raises:
            ValueError: The parts do not fit together.
            msgspec.DecodeError: The bytes have another form.
        """
        first, labels, models, answers, content = msgspec.msgpack.decode(state, type=_State)
        n, width = len(labels), self.parts.shape[1]
        fits = n <= MOST and n == len(models) == len(answers)
        check(fits, f"turns must be {MOST} at most", n)
        known = {_DROPPED, _WAITS, 0, 1}
        check({*labels} <= known, "labels must be 0, 1, awaited or dropped", labels)
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
        for place, label, of, answer in zip(places, labels, models, answers, strict=True):
            self._labels[place], self._models[place], self._answers[place] = label, of, answer

    def check(self, turns: list[int], newest: int) -> None:
        """Refuse restored requests that do not fit the pending requests.

        Args:
            turns: Turns of the pending requests.
            newest: Number of the newest offline model.

        Raises:
            ValueError: They do not fit.
        """
        room = len(self._labels)
        waiting = sorted(
            turn for turn in range(self._first, self._end) if self._labels[turn % room] == _WAITS
        )
        own = sorted(turn for turn in turns if turn != NO_TURN)
        check(own == waiting, "each request that waits for a label must be pending, once", own)
        numbers = {number for place in self._places() for number in self._models[place]}
        check(max(numbers, default=0) <= newest, f"models must be of number {newest}", numbers)

    def _grow(self, room: int) -> None:
        parts, labels, models, answers = self.parts, self._labels, self._models, self._answers
        places = self._places()
        self._make(room, parts.shape[1])
        for turn, place in zip(range(self._first, self._end), places, strict=True):
            at = turn % room
            self.parts[at] = parts[place]
            self._labels[at], self._models[at] = labels[place], models[place]
            self._answers[at] = answers[place]

    def _places(self) -> list[int]:
        return [turn % len(self._labels) for turn in range(self._first, self._end)]
