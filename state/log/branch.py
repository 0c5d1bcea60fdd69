"""A branch of a log: another log's records up to a fork, its own records after it."""

from collections.abc import Mapping, Sequence

from state.log import (
    EVENTS,
    MAX_READ_BYTES,
    Entry,
    LocalLog,
    Log,
    LogError,
    OffsetError,
    Parts,
    Record,
    append_each,
    check_offset,
    check_same,
)

Forks = Mapping[str, Sequence[int]]
"""First offset that is not the base's, by topic and partition; default: 0."""


class BranchLog:
    """The base log below the forks, and a log of its own above; the base is only read.

    `events` belong to the base: the branch ends at their fork, and nothing is appended.

    Args:
        base: Log to branch from.
        own: Log of the branch's own records; its offsets count from the fork.
        forks: First offset of the branch's own records.
    """

    def __init__(self, base: Log, own: Log, forks: Forks) -> None:
        self._base, self._own, self._forks = base, own, forks
        self._floors: dict[tuple[str, int], int] = {}

    def create(self, topic: str, partitions: int) -> None:
        """See `Log.create`."""
        self._base.create(topic, partitions)
        self._own.create(topic, partitions)

    def partitions(self, topic: str) -> int:
        """See `Log.partitions`."""
        return self._base.partitions(topic)

    def append(
        self, topic: str, partition: int, entries: Sequence[Entry], *, sequence: int | None = None
    ) -> int:
        """See `Log.append`.

        Raises:
            LogError: `topic` is `events`.
        """
        if topic == EVENTS:
            message = f"events of a branch must be its base's; got {len(entries)} to append"
            raise LogError(message)
        fork = self._fork(topic, partition)
        floor = self._floors.get((topic, partition))
        if floor is None:
            floor = self._floors[topic, partition] = self._floor(topic, partition, fork)
        lifted = [e if e.append_time >= floor else e._replace(append_time=floor) for e in entries]
        if sequence is None or sequence >= fork:
            own = None if sequence is None else sequence - fork
            return fork + self._own.append(topic, partition, lifted, sequence=own)
        old = min(fork - sequence, len(entries))
        stored = self._base.read(topic, partition, sequence, max_records=old) if old else []
        check_same(topic, partition, stored, entries)
        if len(stored) < len(entries):
            rest = lifted[len(stored) :]
            return self.append(topic, partition, rest, sequence=sequence + len(stored))
        return sequence + len(entries)

    def append_all(self, partition: int, parts: Parts) -> dict[str, int]:
        """See `Log.append_all`."""
        return append_each(self, partition, parts)

    def read(
        self,
        topic: str,
        partition: int,
        offset: int,
        *,
        max_records: int = 1000,
        max_bytes: int = MAX_READ_BYTES,
    ) -> list[Record]:
        """See `Log.read`."""
        fork = self._fork(topic, partition)
        if offset < fork:
            most = min(max_records, fork - offset)
            return self._base.read(topic, partition, offset, max_records=most, max_bytes=max_bytes)
        if topic == EVENTS:
            check_offset(topic, partition, offset, self.start(topic, partition), fork)
            return []
        try:
            records = self._own.read(
                topic, partition, offset - fork, max_records=max_records, max_bytes=max_bytes
            )
        except OffsetError:
            place = topic, partition
            check_offset(*place, offset, self.start(*place), self.end(*place))
            raise
        if not fork:
            return records
        return [Record(fork + r.offset, r.append_time, r.key, r.value) for r in records]

    def start(self, topic: str, partition: int) -> int:
        """See `Log.start`."""
        return min(self._base.start(topic, partition), self._fork(topic, partition))

    def end(self, topic: str, partition: int) -> int:
        """See `Log.end`."""
        fork = self._fork(topic, partition)
        return fork if topic == EVENTS else fork + self._own.end(topic, partition)

    def place(self, topic: str, partition: int) -> str:
        """See `LocalLog.place`."""
        log = self._base if topic == EVENTS else self._own
        return log.place(topic, partition) if isinstance(log, LocalLog) else f"{topic}/{partition}"

    def close(self) -> None:
        """See `Log.close`."""
        self._base.close()
        self._own.close()

    def _fork(self, topic: str, partition: int) -> int:
        forks = self._forks.get(topic, ())
        return forks[partition] if 0 <= partition < len(forks) else 0

    def _floor(self, topic: str, partition: int, fork: int) -> int:
        """The base's last append time, which the branch's append times must not precede."""
        if fork <= self._base.start(topic, partition):
            return 0
        return self._base.read(topic, partition, fork - 1, max_records=1)[0].append_time
