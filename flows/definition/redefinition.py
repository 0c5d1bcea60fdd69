"""A run whose stream is defined otherwise than the one by which its home's outputs were made."""

from collections.abc import Mapping

from flows.definition.note import changed_since, note, refusal
from flows.home.home import Home
from operators.shard.shard import TOPICS
from state.log import EVENTS, Log, SequenceConflictError
from state.stream import Stream


class Redefinition:
    """Decides whether a run may go on with today's definition.

    Event types and optional fields may be added. Functions may change if what they made stays the
    same, such as one that raised: all is made again from the first event, and the log compares.
    Any other change is refused.

    Args:
        home: Has a note of the definition before, or gets one.
        stream: Defined as today.
        log: Of the home.

    Attributes:
        change: What differs; nothing, where nothing is written yet.

    Raises:
        ConfigurationError: The message names what changed.
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
            why = ", whose first events were given up, so that nothing can be compared"
            raise refusal(home.root, stream, self.change, why)
        if not written:
            self.change.functions.clear()
        if not self._unsettled:
            note(home.root, stream)

    def conflict(self, error: SequenceConflictError) -> Exception:
        """The error for output that is not what was written before."""
        place = str(error).rpartition(" in ")[2]
        return refusal(self._home.root, self._stream, self.change, f", which changes {place}")

    def settle(self, offsets: Mapping[int, int]) -> None:
        """Keep today's definition, for all that was written has been made again.

        Args:
            offsets: Where each partition stands; checkpoints from before are of no use any more.
                Where other processes have some of the partitions, nobody knows that all are done.
        """
        if not self._unsettled or len(offsets) < self._partitions:
            return
        self._unsettled = False
        note(self._home.root, self._stream)
        for partition, offset in offsets.items():
            self._home.checkpoints().drop_before(partition, offset)
