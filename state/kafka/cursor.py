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
        cluster: Cluster to read from, for errors.
        place: Topic and partition, for messages.
        lane: Lane that begins at or before the first wanted record.
        sequence: Sequence of the first wanted record.

    Attributes:
        next: Sequence of the first record that the next `take` returns.
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
        """Return records that were fetched already; there may be fewer than asked for.

        Args:
            max_records: Largest number of records.
            max_bytes: Largest total size of their values, bytes.
            first: Return the first record even if it is larger than `max_bytes`.
        """
        # Some of the fetched records may lie before the first wanted record.
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
        """Whether a fetched record was not taken yet."""
        return bool(self._held) or self._lane.holds_more()

    @property
    def reached(self) -> int:
        """Kafka's offset before which everything was fetched."""
        return self._lane.reached

    @property
    def last(self) -> FoundRecord | None:
        """The last record taken from the lane; None: none was taken."""
        return None if self._newest is None else found(self._newest)

    def _accept(self, most: int) -> bool:
        """Take at most this many messages from the lane; return whether there were any."""
        taken = False
        for message in self._lane.take(most):
            taken = True
            error = message.error()
            if error is not None:
                refuse(self._cluster, self._place, error)
                continue
            record = record_of(message)
            if record.offset < self._came:
                continue  # before the first wanted record, or MirrorMaker's second copy
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
