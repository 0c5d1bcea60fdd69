"""Requests that wait for their label, each with its prediction and its scored vector."""

import heapq
from collections.abc import Iterator, Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from state.events import Event
from state.outputs.records import Prediction
from state.restored import MOST_US, Count, check, check_levels, floats


class PendingRequest(msgspec.Struct, frozen=True, gc=False):
    """One pending request.

    Attributes:
        deadline: Event time (µs) at which silence becomes its label.
        place: Row of its vector in `Pending.rows`.
        prediction: The prediction that was written.
        request: The request event.
        turn: Number of the request in the order of weighing, see `state.admission.request_order`.
    """

    deadline: int
    place: int
    prediction: Prediction
    request: Event
    turn: int


class Pending:
    """All pending requests of a shard; each leaves at its label or its deadline.

    Args:
        width: Length of a vector.
        request: Type of the requests.

    Attributes:
        rows: The vectors; reallocated when it grows.
    """

    def __init__(self, width: int, request: type[Event]) -> None:
        self._request = request
        self.rows: NDArray[np.float64] = np.zeros((64, width))
        self._free = list(range(63, -1, -1))
        self._waiting: dict[str, PendingRequest] = {}
        self._deadlines: list[tuple[int, int, str]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._waiting

    def requests(self) -> Iterator[Event]:
        """All pending requests, in order of arrival."""
        return (one.request for one in self._waiting.values())

    def turns(self) -> list[int]:
        """The turns of all pending requests."""
        return [one.turn for one in self._waiting.values()]

    def place(self) -> int:
        """A free row for the next request's vector; `add` takes it."""
        if not self._free:
            n = len(self.rows)
            self.rows = np.concatenate([self.rows, np.zeros_like(self.rows)])
            self._free = list(range(2 * n - 1, n - 1, -1))
        return self._free[-1]

    def add(self, deadline: int, prediction: Prediction, request: Event, turn: int) -> None:
        """Keep a request, whose vector is in the row that `place` returned."""
        place = self._free.pop()
        self._waiting[prediction.id] = PendingRequest(deadline, place, prediction, request, turn)
        heapq.heappush(self._deadlines, (deadline, prediction.offset, prediction.id))

    def take(self, request_id: str) -> PendingRequest | None:
        """Remove a request whose label has come; None if it is not pending.

        Its row keeps its content until the next `place`.
        """
        waiting = self._waiting.pop(request_id, None)
        if waiting is not None:
            self._free.append(waiting.place)
        return waiting

    def due(self, watermark: int) -> PendingRequest | None:
        """Remove and return the first request whose deadline the watermark has reached."""
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= watermark:
            _, offset, request_id = heapq.heappop(deadlines)
            waiting = self._waiting.get(request_id)
            if waiting is not None and waiting.prediction.offset == offset:
                return self.take(request_id)
        return None

    def snapshot(self) -> bytes:
        """Encode all pending requests and their vectors."""
        waiting = list(self._waiting.values())
        used = [one.place for one in waiting]
        return msgspec.msgpack.encode(
            (
                [(w.deadline, w.place, w.prediction, w.request, w.turn) for w in waiting],
                self.rows[used].tobytes(),
                len(self.rows),
                self._free,
                self._deadlines,
            )
        )

    def restore(self, state: bytes) -> None:
        """Restore a `snapshot`.

        Raises:
            ValueError: A row is not owned exactly once, or a request would never become due.
            msgspec.DecodeError: The bytes have another form.
        """
        one = tuple[int, Count, Prediction, self._request, int]  # type: ignore[name-defined]
        rows, vectors, size, free, deadlines = msgspec.msgpack.decode(
            state, type=tuple[list[one], bytes, int, list[Count], list[tuple[int, Count, str]]]
        )
        waiting = [PendingRequest(*row) for row in rows]
        places = np.array([w.place for w in waiting], np.int64)
        all_places = np.sort(np.append(places, np.array(free, np.int64)))
        whole = size > 0 and np.array_equal(all_places, np.arange(len(all_places)))
        check(whole and len(all_places) == size, "each row must be free or one request's", size)
        values, width = floats(vectors, "vectors"), self.rows.shape[1]
        check(len(values) == len(waiting) * width, f"vectors must be {width} wide", len(values))
        self.rows = np.zeros((size, width))
        self.rows[places] = values.reshape(-1, width)
        self._free, self._deadlines = free, deadlines
        self._waiting = {w.prediction.id: w for w in waiting}
        check(len(self._waiting) == len(waiting), "pending ids must be unique", len(waiting))
        self._check_deadlines()
        self._check_requests()

    def check(self, partition: int, end: int, levels: Mapping[int, int]) -> None:
        """Refuse restored requests that do not fit the rest of the shard.

        Args:
            partition: Partition of the shard.
            end: Offset after the last request.
            levels: Number of levels of each categorical column.

        Raises:
            ValueError: A request is of another partition or offset, or has an unknown level.
        """
        for one in self._waiting.values():
            place = one.prediction.partition, one.prediction.offset
            here = place[0] == partition and 0 <= place[1] < end
            check(here, f"pending requests must be of partition {partition} before {end}", place)
        check_levels(self.rows[[one.place for one in self._waiting.values()]], levels)

    def _check_deadlines(self) -> None:
        """Check that each request becomes due, in order of the deadlines."""
        heap = self._deadlines
        ordered = all(heap[(i - 1) // 2] <= heap[i] for i in range(1, len(heap)))
        check(ordered, "deadlines must be a heap", len(heap))
        due = set(heap)
        for one in self._waiting.values():
            deadline = one.deadline, one.prediction.offset, one.prediction.id
            check(deadline in due, "each pending request must have its deadline", deadline)
        times = max((abs(time) for time, *_ in heap), default=0)
        check(times <= MOST_US, "deadlines must be times", times)

    def _check_requests(self) -> None:
        """Check that predictions are numbers, and that requests survive a JSON round trip."""
        encode, decode = msgspec.json.encode, msgspec.json.Decoder(self._request).decode
        packed = msgspec.msgpack.encode
        for one in self._waiting.values():
            made, asked = one.prediction, one.request
            same = made.id == asked.id and made.event_time == asked.time
            check(same, "a prediction must be of its request", made.id)
            said = made.probability, made.online, made.offline, made.residual
            paired = (made.offline is None) == (made.residual is None)
            # Sums of a MOJO's leaves may exceed 0 to 1 by rounding.
            near = all(p is None or -1.0 <= p <= 2.0 for p in said)
            check(paired and near, "pending predictions must be probabilities", said)
            as_came = packed(decode(encode(asked))) == packed(asked)
            check(as_came, "a pending request must be as it came", asked.id)
