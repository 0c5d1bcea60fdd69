"""Reading one partition forward, in order of its sequences."""

from collections import deque

from confluent_kafka import Message

from state.kafka.cluster import Cluster
from state.kafka.intake import Lane
from state.kafka.reader import refuse
from state.kafka.records import FoundRecord, found, record_of
from state.log import LogError, Record


class Cursor:
    """Reads one partition forward; used by one thread at a time.

    Args:
        cluster: Where.
        place: Topic and partition, for people.
        lane: Begins at or before the first record wanted.
        sequence: Of the first record wanted.

    Attributes:
        next: The sequence of the record that the next `take` begins with.
    """

    def __init__(self, cluster: Cluster, place: str, lane: Lane, sequence: int) -> None:
        self._cluster, self._place, self._lane = cluster, place, lane
        self.next = sequence
        self._came = sequence
        self._held: deque[Record] = deque()
        self._newest: Message | None = None
        self.wait = lane.wait
        self.close = lane.close

    def take(self, max_records: int, max_bytes: int, *, first: bool) -> list[Record]:
        """Records that have come already: as many as are asked for, or fewer.

        Args:
            max_records: At most so many.
            max_bytes: At most so many bytes of values.
            first: The first record is given whatever its size.
        """
        # Some of what comes may lie before the first record wanted.
        while len(self._held) < max_records and self._accept(max_records - len(self._held)):
            pass
        records: list[Record] = []
        held, room = self._held, max_bytes
        while held and len(records) < max_records:
            room -= len(held[0].value)
            if room < 0 and (records or not first):
                break
            records.append(held.popleft())
        self.next += len(records)
        return records

    def holds_more(self) -> bool:
        """Whether a record has come that was not taken."""
        return bool(self._held) or self._lane.holds_more()

    @property
    def reached(self) -> int:
        """The physical offset before which all has come."""
        return self._lane.reached

    @property
    def last(self) -> FoundRecord | None:
        """The last record that was taken from the lane, if one was."""
        return None if self._newest is None else found(self._newest)

    def _accept(self, most: int) -> bool:
        """Take so many messages at most; whether there were any."""
        taken = False
        for message in self._lane.take(most):
            taken = True
            error = message.error()
            if error is not None:
                refuse(self._cluster, self._place, error)
                continue
            record = record_of(message)
            if record.offset < self._came:
                continue  # before the first wanted, or MirrorMaker's second copy
            if record.offset > self._came:
                msg = (
                    f"sequences must have no gap; got {record.offset} after {self._came - 1} "
                    f"in {self._place} at Kafka's offset {message.offset()}"
                )
                raise LogError(msg)
            self._came += 1
            self._held.append(record)
            self._newest = message
        return taken
