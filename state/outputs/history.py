"""Records of a topic by append time, in pieces that fit into memory."""

from collections.abc import Iterator
from heapq import merge

from state.log import Log, offset_at
from state.log.batches import batches
from state.outputs.topic_rows import PartitionRecord
from state.storage.artifact_chunks import is_supplement

_MOST_RECORDS = 10_000
_MOST_BYTES = 16 * 2**20
_READ_RECORDS = 1000


class History:
    """Records of a topic within a range of append time, as of now; later ones are left out.

    Partitions are merged by append time, ties by partition; chunks of model files are left out.

    Args:
        log: Log with the topic.
        topic: Name of an existing topic.
        since: First append time, microseconds UTC; None: from the start.
        until: Append time before which to stop, microseconds UTC; None: to the end.

    Raises:
        UnknownTopicError: The topic does not exist.
    """

    def __init__(
        self, log: Log, topic: str, since: int | None = None, until: int | None = None
    ) -> None:
        self._log, self._topic = log, topic
        self._held = [self._span(p, since, until) for p in range(log.partitions(topic))]

    def __len__(self) -> int:
        """Number of records, including chunks."""
        return sum(map(len, self._held))

    def __iter__(self) -> Iterator[PartitionRecord]:
        """Iterate over the records."""
        parts = [self._part(partition, held) for partition, held in enumerate(self._held)]
        return merge(*parts, key=lambda one: one.record.append_time)

    def pieces(self, most: int = _MOST_RECORDS) -> Iterator[list[PartitionRecord]]:
        """Iterate over lists of records, bounded in number and bytes."""
        return batches(
            self,
            lambda one: len(one.record.value),
            max_items=min(most, _MOST_RECORDS),
            max_bytes=_MOST_BYTES,
        )

    def _span(self, partition: int, since: int | None, until: int | None) -> range:
        log, topic = self._log, self._topic
        first = log.start(topic, partition)
        low = first if since is None else offset_at(log, topic, partition, since)
        end = log.end(topic, partition)
        high = end if until is None else min(end, offset_at(log, topic, partition, until))
        return range(low, high)

    def _part(self, partition: int, held: range) -> Iterator[PartitionRecord]:
        while held:
            most = min(_READ_RECORDS, len(held))
            records = self._log.read(self._topic, partition, held[0], max_records=most)
            yield from (
                PartitionRecord(partition, r) for r in records if not is_supplement(self._topic, r)
            )
            held = held[len(records) :]
