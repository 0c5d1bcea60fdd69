"""Requests whose label is awaited, each with its prediction and the vector that was scored."""

import heapq

import msgspec
import numpy as np
from numpy.typing import NDArray

from state.events import Event
from state.outputs import Prediction


class Waiting(msgspec.Struct, frozen=True, gc=False):
    """One pending request.

    Attributes:
        deadline: Event time (µs) at which silence becomes its label.
        place: Row of its vector in `Pending.rows`.
        prediction: What was answered.
        request: What was asked.
    """

    deadline: int
    place: int
    prediction: Prediction
    request: Event


class Pending:
    """All pending requests of a shard; each leaves at its label or its deadline.

    Args:
        width: Length of a vector.
        request: The type of the requests.

    Attributes:
        rows: The vectors; it moves when it grows.
    """

    def __init__(self, width: int, request: type[Event]) -> None:
        self._request = request
        self.rows: NDArray[np.float64] = np.zeros((64, width))
        self._free = list(range(63, -1, -1))
        self._waiting: dict[str, Waiting] = {}
        self._deadlines: list[tuple[int, int, str]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._waiting

    def place(self) -> int:
        """A free row for the next request's vector; it is taken by `add`."""
        if not self._free:
            n = len(self.rows)
            self.rows = np.concatenate([self.rows, np.zeros_like(self.rows)])
            self._free = list(range(2 * n - 1, n - 1, -1))
        return self._free[-1]

    def add(self, deadline: int, prediction: Prediction, request: Event) -> None:
        """Keep a request, whose vector is in the row that `place` gave."""
        place = self._free.pop()
        self._waiting[prediction.id] = Waiting(deadline, place, prediction, request)
        heapq.heappush(self._deadlines, (deadline, prediction.offset, prediction.id))

    def take(self, request_id: str) -> Waiting | None:
        """Remove a request whose label has come; None if it is not pending.

        Its row stays as it is until the next `place`.
        """
        waiting = self._waiting.pop(request_id, None)
        if waiting is not None:
            self._free.append(waiting.place)
        return waiting

    def due(self, watermark: int) -> Waiting | None:
        """Remove and return the first request whose deadline the watermark has reached."""
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= watermark:
            _, offset, request_id = heapq.heappop(deadlines)
            waiting = self._waiting.get(request_id)
            if waiting is not None and waiting.prediction.offset == offset:
                return self.take(request_id)
        return None

    def snapshot(self) -> bytes:
        """All pending requests and their vectors."""
        waiting = list(self._waiting.values())
        used = [one.place for one in waiting]
        return msgspec.msgpack.encode(
            (
                [(w.deadline, w.place, w.prediction, w.request) for w in waiting],
                self.rows[used].tobytes(),
                len(self.rows),
                self._free,
                self._deadlines,
            )
        )

    def restore(self, state: bytes) -> None:
        """Take the state from `snapshot`."""
        one = tuple[int, int, Prediction, self._request]  # type: ignore[name-defined]
        rows, vectors, size, free, deadlines = msgspec.msgpack.decode(
            state, type=tuple[list[one], bytes, int, list[int], list[tuple[int, int, str]]]
        )
        waiting = [Waiting(*row) for row in rows]
        width = self.rows.shape[1]
        self.rows = np.zeros((size, width))
        self.rows[[w.place for w in waiting]] = np.frombuffer(vectors).reshape(-1, width)
        self._free, self._deadlines = free, deadlines
        self._waiting = {w.prediction.id: w for w in waiting}
