"""Decide whether a run may continue in a home whose stream definition has changed."""

from collections.abc import Mapping

from flows.definition.note import changed_since, note, refusal
from flows.home.home import Home
from operators.shard.shard import TOPICS
from state.log import EVENTS, Log, SequenceConflictError
from state.stream import Stream


class Redefinition:
    """Decides whether a run may continue with today's definition.

    New event types and optional fields are accepted. A changed function is accepted if its results
    stay the same, as when it only raised before: all output is derived again from the first event,
    and the log compares it. Any other change is refused.

    Args:
        home: Home with a note of the earlier definition; a home without one gets it.
        stream: Today's stream.
        log: The home's log.

    Attributes:
        change: Differences between the definitions; empty if no output was written yet.

    Raises:
        ConfigurationError: The change is refused; the message names the differences.
    """

    def __init__(self, home: Home, stream: Stream, log: Log) -> None:
        self._home, self._stream = home, stream
        self.change = changed_since(home.root, stream)
        self._partitions = log.partitions(EVENTS)
        partitions = range(self._partitions)
        written = any(log.end(topic, p) for topic in TOPICS for p in partitions)
        cut = any(log.start(EVENTS, p) for p in partitions)
        self._unsettled = bool(written and self.change.functions)
        if written and self.change.declared:
            raise refusal(home.root, stream, self.change)
        if self._unsettled and cut:
            why = ", whose first events were deleted, so that its outputs cannot be compared"
            raise refusal(home.root, stream, self.change, why)
        if not written:
            self.change.functions.clear()
        if not self._unsettled:
            note(home.root, stream)

    def conflict(self, error: SequenceConflictError) -> Exception:
        """The error for output that differs from what was written before."""
        place = str(error).rpartition(" in ")[2]
        return refusal(self._home.root, self._stream, self.change, f", which changes {place}")

    def settle(self, offsets: Mapping[int, int]) -> None:
        """Keep today's definition, once all earlier output has been derived again.

        Args:
            offsets: Offset that each partition has reached; earlier checkpoints are deleted. If
                other processes run some of the partitions, nothing is done, as their state is
                unknown.
        """
        if not self._unsettled or len(offsets) < self._partitions:
            return
        self._unsettled = False
        note(self._home.root, self._stream)
        for partition, offset in offsets.items():
            self._home.checkpoints().drop_before(partition, offset)
