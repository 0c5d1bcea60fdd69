"""A finished log as it grew: what a scorer beside the flow saw of it, reading by reading."""

from bisect import bisect_left, bisect_right

import msgspec

from operators.partition.journal import TOPIC as JOURNAL
from operators.partition.journal import Journal
from state.log import EVENTS, Log
from state.log.branch import BranchLog
from state.topics import MODELS, ROLLBACKS


class _Answered(msgspec.Struct):
    """The one field of a prediction that is needed here."""

    offset: int


class GrowingLog(BranchLog):
    """One partition of a log that a run has filled; reading it is the log's own.

    Its journal, predictions and events grow where they are told to; the models that were published
    are all there, and of the other topics there is nothing.

    Args:
        base: Log filled by the run; only read.
        own: Another with the same topics, all empty; takes what is appended here.
    """

    def __init__(self, base: Log, own: Log) -> None:
        self._forks_now = {topic: [0] for topic in (EVENTS, JOURNAL, "predictions")}
        known = {topic: [base.end(topic, 0)] for topic in (MODELS, ROLLBACKS)}
        super().__init__(base, own, self._forks_now | known)
        self._decided = [entry.offset for entry in Journal(base, 0).entries]
        decode = msgspec.json.Decoder(_Answered).decode
        self._answered: list[int] = []
        while found := base.read("predictions", 0, len(self._answered)):
            self._answered += (decode(one.value).offset for one in found)

    @property
    def passed(self) -> int:
        """Number of events in the log."""
        return self._forks_now[EVENTS][0]

    def grow(self, passed: int) -> None:
        """Show the log as it was when the flow had answered this many events.

        The journal entry of the next event is there already: the flow writes it first.
        """
        self._forks_now[JOURNAL][0] = bisect_right(self._decided, passed)
        self._forks_now[EVENTS][0] = passed
        self._forks_now["predictions"][0] = bisect_left(self._answered, passed)
