"""Answers whose turn to be judged has not come, and what came of those before.

Requests are judged in request order, so these are the newest ones, from the oldest that waits for
its label on. Those that merely have no label yet would be a biased choice: where labels of 1 come
first and those of 0 by silence, most of them are 0.
"""

from collections.abc import Iterable
from typing import Annotated, NamedTuple

import msgspec
import numpy as np

from models.judging.estimates import from_runs, to_runs
from models.judging.histograms import BINS, Counts, column

GROUP = 500
"""Requests of which an estimate was made, from which on it is compared with what came."""

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Time = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
_Runs = list[list[_Count]]


class Group(msgspec.Struct, forbid_unknown_fields=True):
    """Requests of which an estimate was made.

    Attributes:
        since: Event time of the first estimate, µs; 0: there was none.
        until: Event time at which all labels were known, µs; 0: not all are.
        trusted: Whether all these estimates were trusted.
        counts: Those that were judged, by label, decision and column; see `to_runs`.
    """

    since: _Time = 0
    until: _Time = 0
    trusted: bool = True
    counts: _Runs = []


class _State(msgspec.Struct, forbid_unknown_fields=True):
    """The state of the counts; `end` and `doubted` are turns."""

    end: _Time
    doubted: _Time
    now: Group
    last: Group | None


class Turns(NamedTuple):
    """Turns of the order of judging: the next one to be judged, and the next one to be given."""

    first: int
    end: int


class WaitingCounts:
    """Counts answers by decision and logit, from their request to their turn.

    A group of requests is gathered at ticks, among those whose turn has not come, until it has
    `GROUP` or more. When the last of them has been judged, it can be compared with its estimate.

    Args:
        threshold: Probability from which a decision is positive.

    Attributes:
        last: The last group that was judged; None: there is none.

    Example:
        >>> counts = WaitingCounts(0.5)
        >>> for p in (0.2, 0.7, 0.9):
        ...     counts.add(p)
        >>> counts.judge(0, 1, 0.7)
        >>> counts.waiting().sum(axis=1).tolist()
        [1, 1]
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._end = self._doubted = 0
        self._now = Group()
        self.last: Group | None = None
        self._judged = _columns(4)
        self.begin(threshold, [])

    def begin(self, threshold: float, answers: Iterable[float]) -> None:
        """Count the answers anew.

        Args:
            threshold: Probability from which a decision is positive.
            answers: Those whose turn has not come.
        """
        self._threshold, self._waiting = threshold, _columns(2)
        for answer in answers:
            self.add(answer)

    def add(self, answer: float) -> None:
        """Count the answer to a request."""
        self._waiting[answer >= self._threshold][column(answer)] += 1

    def drop(self, answer: float) -> None:
        """Take out a request that gets no label."""
        self._waiting[answer >= self._threshold][column(answer)] -= 1

    def judge(self, turn: int, label: int, answer: float) -> None:
        """Take out a request whose turn has come."""
        decision, place = answer >= self._threshold, column(answer)
        self._waiting[decision][place] -= 1
        if turn < self._end:
            self._judged[2 * label + decision][place] += 1

    def waiting(self) -> Counts:
        """Answers whose turn has not come, by decision and column; int64[2, BINS]."""
        return np.array(self._waiting)

    def doubt(self, turn: int) -> None:
        """No answer of before this turn says whether estimates can be trusted."""
        self._doubted = turn

    def is_doubted(self, turn: int) -> bool:
        """Whether this is before the turn of `doubt`."""
        return turn < self._doubted

    def tick(self, time: int, turns: Turns, *, trusted: bool) -> None:
        """Gather the group, or end it.

        Args:
            time: Event time of the tick, µs.
            turns: The turns of the requests that wait.
            trusted: Whether an estimate of now can be trusted.
        """
        judged = sum(map(sum, self._judged))
        if turns.first >= self._end and judged >= GROUP:
            self._now.until, self._now.counts = time, to_runs(np.array(self._judged))
            self.last, self._now = self._now, Group()
            self._judged, judged = _columns(4), 0
        if judged + max(0, self._end - turns.first) < GROUP and turns.first < turns.end:
            self._end = turns.end
            self._now.since = self._now.since or time
            self._now.trusted &= trusted

    def snapshot(self) -> bytes:
        """Encode the groups; the answers that wait are encoded elsewhere."""
        self._now.counts = to_runs(np.array(self._judged))
        return msgspec.msgpack.encode(_State(self._end, self._doubted, self._now, self.last))

    def restore(self, state: bytes) -> None:
        """Restore a `snapshot`, but for the answers that wait: `check` says with which.

        Raises:
            ValueError: Counts are of other rows or columns.
            msgspec.DecodeError: The bytes have another form.
        """
        read = msgspec.msgpack.decode(state, type=_State)
        if read.last is not None:
            from_runs(read.last.counts, 4)
        self._judged = from_runs(read.now.counts, 4).tolist()
        self._end, self._doubted = read.end, read.doubted
        self._now, self.last = read.now, read.last

    def check(self, end: int, answers: Iterable[float]) -> None:
        """Refuse a restored state that does not fit the order; count the answers that wait.

        Args:
            end: The next turn to be given.
            answers: See `begin`.

        Raises:
            ValueError: A group has requests that have no turn yet.
        """
        if self._end > end:
            msg = f"requests of an estimate must be before turn {end}; got {self._end}"
            raise ValueError(msg)
        self.begin(self._threshold, answers)


def _columns(rows: int) -> list[list[int]]:
    return [[0] * BINS for _ in range(rows)]
