"""Compare a shard's replayed output with the stored output, record by record."""

from collections.abc import Iterator
from hashlib import sha256

import msgspec

from flows.replay.difference import RecordDifference, cause_of, difference, surplus
from operators.shard.messages import Emitted
from operators.shard.shard import TOPICS, Shard
from operators.training.model_loader import ModelError
from state.checkpoints.store import CheckpointHead, CheckpointStore
from state.log import EVENTS, ReadableLog, Record
from state.log.running_hash import Hashed
from state.outputs.records import Prediction
from state.topics import ACTIVATIONS, PREDICTIONS


class PartitionAudit(msgspec.Struct):
    """Result of one partition so far.

    Attributes:
        partition: The partition.
        begin: Offset of `events` at which the replay began.
        end: Offset of `events` up to which the replay has recorded output to compare.
        identical: Number of identical records, by topic.
        different: Number of differing records, by topic.
        after: Number of identical records after the first difference.
        first: The first difference; None: there is none.
        states: Number of checkpoints whose state was replayed to the byte.
        chain: Hash chain of the newest replayed prediction; empty if there was none.
        recorded: False once the replay has passed the recorded output.
    """

    partition: int
    begin: int
    end: int
    identical: dict[str, int]
    different: dict[str, int]
    after: int = 0
    first: RecordDifference | None = None
    states: int = 0
    chain: str = ""
    recorded: bool = True

    @classmethod
    def nothing(cls, partition: int, begin: int) -> "PartitionAudit":
        """The result before the first record."""
        return cls(partition, begin, begin, dict.fromkeys(TOPICS, 0), {})

    @property
    def cause(self) -> str:
        """The likely cause of the first difference; empty if there is none."""
        return cause_of(self.first, sum(self.different.values()), self.after) if self.first else ""


class OutputCheck:
    """Compares the replayed output of a partition, and updates its result.

    Args:
        log: The log with the recorded output.
        checked: The result; changed in place.
        since: Append time from which records are counted.
    """

    def __init__(self, log: ReadableLog, checked: PartitionAudit, since: int) -> None:
        self._log, self._checked, self._since = log, checked, since
        self._held = {topic: log.end(topic, checked.partition) for topic in TOPICS}

    def take(self, emitted: Emitted, end: int) -> None:
        """Compare the output of one message.

        Args:
            emitted: The replayed output.
            end: The shard's offset in `events` after the message.
        """
        checked = self._checked
        checked.end = end
        for topic, (sequence, entries) in emitted.entries.items():
            for record in self._stored(topic, sequence, len(entries)):
                entry = entries[record.offset - sequence]
                if entry.append_time < self._since:
                    continue
                if record[2:] == entry[1:]:
                    checked.identical[topic] += 1
                    checked.after += checked.first is not None
                    continue
                self._count(topic, 1)
                if checked.first is None:
                    checked.first = difference(topic, checked.partition, record, entry)
            if topic == PREDICTIONS:
                left = self._held[topic] - sequence
                if left > 0:
                    checked.chain = _prediction(entries[min(left, len(entries)) - 1].value).chain
                if left < len(entries):
                    checked.end = _prediction(entries[max(left, 0)].value).offset
                    checked.recorded = False

    def state(self, shard: Shard, recorded: bytes) -> None:
        """Compare a shard's whole state with the flow's checkpoint at the same offset.

        States with a River classifier are skipped: a pickle need not come out byte for byte.

        Args:
            shard: The replayed shard.
            recorded: SHA-256 of the state in the checkpoint.
        """
        if shard.settings.online.river:
            return
        if sha256(shard.snapshot()).digest() == recorded:
            self._checked.states += 1
            return
        self._count("checkpoints", 1)
        place = "checkpoints", shard.partition, None, shard.position.offset, None
        cause = "the state in the checkpoint differs: it was altered, or the records before it were"
        self._checked.first = self._checked.first or RecordDifference(*place, [], cause)

    def events(self, read: Hashed, recorded: Hashed | None) -> None:
        """Compare the hash of the events read, in case no output differs.

        Args:
            read: Hash of the events read by the replay.
            recorded: Hash in the flow's checkpoint at the same offset, if it has one.
        """
        if recorded is None or read.first != recorded.first or read.hash == recorded.hash:
            return
        if self._checked.first is None:
            self._count(EVENTS, 1)
            place = EVENTS, self._checked.partition, None, recorded.end, None
            cause = "events before this offset were altered since the flow read them"
            self._checked.first = RecordDifference(*place, [], cause)

    def at_end(self, shard: Shard, end: int, checkpoints: CheckpointStore) -> None:
        """Check the ends: a topic may hold no more than was replayed, and no less than was counted.

        Args:
            shard: The shard at the end of the range.
            end: Offset of `events` at which the range ends.
            checkpoints: The flow's checkpoints.
        """
        checked, counters = self._checked, shard.counters
        for one in checkpoints.heads(checked.partition, before=end):
            if one.shape == shard.shape:
                self._at_least(one)
                break
        if not checked.recorded or checked.end < self._log.end(EVENTS, checked.partition):
            return
        for topic in TOPICS:
            if self._held[topic] > counters[topic] and checked.first is None:
                self._count(topic, self._held[topic] - counters[topic])
                place = topic, checked.partition
                extra = self._log.read(*place, counters[topic], max_records=1)[0]
                checked.first = surplus(*place, extra)

    def _at_least(self, checkpoint: CheckpointHead) -> None:
        """Report records that a checkpoint counted and the log no longer holds."""
        checked = self._checked
        for topic in TOPICS:
            held, counted = self._held[topic], checkpoint.counters.get(topic, 0)
            if held < counted:
                self._count(topic, counted - held)
                place = topic, checked.partition, held, None, None
                cause = (
                    f"the end of {topic} was lost: a checkpoint at offset {checkpoint.offset} "
                    f"counted {counted} records, {held} are left"
                )
                checked.first = checked.first or RecordDifference(*place, [], cause)

    def broken(self, error: ModelError) -> None:
        """Record that the replay cannot continue."""
        checked = self._checked
        self._count(ACTIVATIONS, 1)
        if checked.first is None:
            place = ACTIVATIONS, checked.partition, None, checked.end, None
            checked.first = RecordDifference(*place, [], str(error))

    def _count(self, topic: str, different: int) -> None:
        counts = self._checked.different
        counts[topic] = counts.get(topic, 0) + different

    def _stored(self, topic: str, sequence: int, count: int) -> Iterator[Record]:
        partition = self._checked.partition
        offset = max(sequence, self._log.start(topic, partition))
        end = min(sequence + count, self._held[topic])
        while offset < end:
            records = self._log.read(topic, partition, offset, max_records=end - offset)
            yield from records
            offset += len(records)


def _prediction(value: bytes) -> Prediction:
    return msgspec.json.decode(value, type=Prediction)
