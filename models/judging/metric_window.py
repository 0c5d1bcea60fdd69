"""Counts of labelled answers over a sliding span of event time."""

import math
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np

from models.judging.betting import Floats, jit
from models.judging.histograms import BINS, Counts, count
from models.logits import LEAST
from models.losses import MOST_COUNT

PERIODS = 24
"""Number of periods of a window, the oldest of which is forgotten at once."""

_NONE = -1
_Whole = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Sum = Annotated[float, msgspec.Meta(ge=0, le=MOST_COUNT)]
_Newest = Annotated[int, msgspec.Meta(ge=_NONE, le=2**62)]
_State = tuple[_Newest, list[_Whole], list[_Whole], list[_Sum]]


@jit
def _add(
    histograms: Any, decided: Any, sums: Any, place: int, label: int, p: float, decision: bool
) -> None:
    count(histograms[place], label, p)
    decided[place, label, int(decision)] += 1
    hit = min(max(p if label else 1.0 - p, LEAST), 1.0)
    loss, square = -math.log(hit), (1.0 - hit) * (1.0 - hit)
    sums[place, 0] += loss
    sums[place, 1] += loss * loss
    sums[place, 2] += square
    sums[place, 3] += square * square


class Tally(NamedTuple):
    """Counts over a window.

    Attributes:
        histogram: Answers by label and logit; int64[2, BINS].
        decided: Answers by label and decision; int64[2, 2].
        sums: Sums of log-loss, of its square, of the squared error, and of its square; float64[4].
    """

    histogram: Counts
    decided: Counts
    sums: Floats


class MetricWindow:
    """Counts of the newest answers, by periods of a twenty-fourth of the window.

    It ends with the period of the newest request counted, so it is up to one period shorter than
    `span`. Requests that are older are left out.

    Args:
        span: Length in event time, µs.

    Example:
        >>> window = MetricWindow(24)
        >>> for time in (0, 1, 23, 24, 0):
        ...     window.add(1, 0.9, True, time)
        >>> int(window.tally().histogram.sum())
        3
    """

    def __init__(self, span: int) -> None:
        self._period = -(-span // PERIODS)
        self._newest = _NONE
        self._histograms = np.zeros((PERIODS, 2, BINS), np.int64)
        self._decided = np.zeros((PERIODS, 2, 2), np.int64)
        self._sums = np.zeros((PERIODS, 4))

    def add(self, label: int, probability: float, decision: bool, event_time: int) -> None:
        """Count an answer.

        Args:
            label: 0 or 1.
            probability: P(label is 1).
            decision: Whether it was taken as positive.
            event_time: Time of the request, µs.
        """
        number = event_time // self._period
        if number > self._newest:
            self._move(number)
        elif number <= self._newest - PERIODS:
            return
        counts = self._histograms, self._decided, self._sums
        _add(*counts, number % PERIODS, label, probability, decision)

    def _move(self, number: int) -> None:
        for new in range(max(self._newest + 1, number - PERIODS + 1), number + 1):
            for counts in (self._histograms, self._decided, self._sums):
                counts[new % PERIODS] = 0
        self._newest = number

    def tally(self) -> Tally:
        """The counts of the whole window; sums are exactly rounded, whatever the machine."""
        sums = np.array([math.fsum(of) for of in self._sums.T.tolist()])
        return Tally(self._histograms.sum(axis=0), self._decided.sum(axis=0), sums)

    def snapshot(self) -> bytes:
        """Encode the counts."""
        parts = (self._histograms, self._decided, self._sums)
        return msgspec.msgpack.encode((self._newest, *(of.ravel().tolist() for of in parts)))

    def restore(self, state: bytes) -> None:
        """Restore a `snapshot`.

        Raises:
            ValueError: A length is invalid.
            msgspec.DecodeError: The bytes have another form, or a number is out of range.
        """
        newest, *values = msgspec.msgpack.decode(state, type=_State)
        parts = (self._histograms, self._decided, self._sums)
        lengths, expected = [len(of) for of in values], [of.size for of in parts]
        if lengths != expected:
            msg = f"a window must be of {expected} counts; got {lengths}"
            raise ValueError(msg)
        self._newest = newest
        for part, of in zip(parts, values, strict=True):
            part[:] = np.reshape(of, part.shape)
