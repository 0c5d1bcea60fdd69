"""The records of a topic by append time, in pieces that fit into memory."""

from collections.abc import Iterator
from heapq import merge

from state.log import Log, offset_at
from state.log.batches import batches
from state.outputs.topic_rows import Placed
from state.storage.artifact_chunks import is_chunk

_MOST_RECORDS = 10_000
_MOST_BYTES = 16 * 2**20
_READ_RECORDS = 1000


class History:
    """What a topic holds now of a span of append time; what is appended later is not seen.

    Partitions are merged by append time, ties by partition; chunks of model files are left out.

    Args:
        log: Where.
        topic: A topic that was created.
        since: Only what was appended at or after this, microseconds UTC.
        until: Only what was appended before this.

    Raises:
        UnknownTopicError: The topic was never created.
    """

    def __init__(
        self, log: Log, topic: str, since: int | None = None, until: int | None = None
    ) -> None:
        self._log, self._topic = log, topic
        self._held = [self._span(p, since, until) for p in range(log.partitions(topic))]

    def __len__(self) -> int:
        """How many records, chunks included."""
        return sum(map(len, self._held))

    def __iter__(self) -> Iterator[Placed]:
        """Every record."""
        parts = [self._part(partition, held) for partition, held in enumerate(self._held)]
        return merge(*parts, key=lambda one: one.record.append_time)

    def pieces(self, most: int = _MOST_RECORDS) -> Iterator[list[Placed]]:
        """The records in lists that are bounded in number and in bytes."""
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

    def _part(self, partition: int, held: range) -> Iterator[Placed]:
        while held:
            most = min(_READ_RECORDS, len(held))
            records = self._log.read(self._topic, partition, held[0], max_records=most)
            yield from (Placed(partition, r) for r in records if not is_chunk(self._topic, r))
            held = held[len(records) :]
