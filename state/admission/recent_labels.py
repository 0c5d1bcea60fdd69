"""The newest labelled vectors that no fit has seen yet.

The residual learners of a new offline model begin with them.
"""

from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from state.restored import Count, check, check_levels, floats

MOST = 1_000


class RecentLabels:
    """The newest labelled vectors with their labels, MOST at most.

    Args:
        width: Length of a vector.
    """

    def __init__(self, width: int) -> None:
        self._rows = np.empty((0, width))
        self._labels = np.empty(0, np.int64)
        self._added = 0

    def add(self, row: NDArray[np.float64], label: int) -> None:
        """Add a vector; if there is no room, it replaces the oldest."""
        place = self._added % MOST
        if place == len(self._rows):
            self._grow()
        self._rows[place], self._labels[place] = row, label
        self._added += 1

    def clear(self) -> None:
        """Forget all vectors, as a fit may have seen them."""
        self._added = 0

    def all(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The vectors, float64[n, width], and their labels, int64[n]; oldest first."""
        places = np.arange(max(self._added - MOST, 0), self._added) % MOST
        return self._rows[places], self._labels[places]

    def snapshot(self) -> bytes:
        """Encode all vectors and labels."""
        rows, labels = self.all()
        return msgspec.msgpack.encode((self._added, rows.tobytes(), labels.tolist()))

    def restore(self, state: bytes) -> None:
        """Restore a `snapshot`.

        Raises:
            ValueError: The parts do not fit together.
            msgspec.DecodeError: The bytes have another form.
        """
        added, content, labels = msgspec.msgpack.decode(state, type=tuple[Count, bytes, list[int]])
        n, width = len(labels), self._rows.shape[1]
        check(n == min(added, MOST), f"labels must be the newest {MOST} of {added}", n)
        check({*labels} <= {0, 1}, "labels must be 0 or 1", labels)
        values = floats(content, "labelled vectors")
        check(len(values) == n * width, f"labelled vectors must be {width} wide", len(values))
        places = np.arange(added - n, added) % MOST
        self._added = added
        self._rows, self._labels = np.zeros((n, width)), np.zeros(n, np.int64)
        self._rows[places], self._labels[places] = values.reshape(n, width), labels

    def check(self, levels: Mapping[int, int]) -> None:
        """Refuse restored vectors with unknown levels.

        Args:
            levels: Number of levels of each categorical column.

        Raises:
            ValueError: A vector has an unknown level.
        """
        check_levels(self.all()[0], levels)

    def _grow(self) -> None:
        room = min(max(2 * len(self._rows), 16), MOST)
        rows, labels = np.zeros((room, self._rows.shape[1])), np.zeros(room, np.int64)
        rows[: len(self._rows)], labels[: len(self._labels)] = self._rows, self._labels
        self._rows, self._labels = rows, labels
