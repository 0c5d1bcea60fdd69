"""What a shard makes again, compared with what is stored, record by record."""

from collections.abc import Iterator
from hashlib import sha256

import msgspec

from flows.replay.difference import Difference, cause_of, difference, surplus
from operators.shard.messages import Emitted
from operators.shard.shard import TOPICS, Shard
from operators.training.model_loader import ModelError
from state.checkpoints.store import CheckpointHead, CheckpointStore
from state.log import EVENTS, ReadableLog, Record
from state.log.running_hash import Hashed
from state.outputs.records import Prediction
from state.topics import ACTIVATIONS, PREDICTIONS


class Checked(msgspec.Struct):
    """What came of one partition so far.

    Attributes:
        partition: Which.
        begin: Offset of `events` at which it was taken up.
        end: Offset up to which it was replayed and had been recorded.
        identical: Records that are as recorded, by topic.
        different: Records that are not.
        after: Identical ones after the first that is not.
        first: The first that is not.
        states: Checkpoints whose state is as made again, to the byte.
        chain: Of the newest prediction made; empty if there was none.
        recorded: Whether the flow had got there.
    """

    partition: int
    begin: int
    end: int
    identical: dict[str, int]
    different: dict[str, int]
    after: int = 0
    first: Difference | None = None
    states: int = 0
    chain: str = ""
    recorded: bool = True

    @classmethod
    def nothing(cls, partition: int, begin: int) -> "Checked":
        """Before the first record."""
        return cls(partition, begin, begin, dict.fromkeys(TOPICS, 0), {})

    @property
    def cause(self) -> str:
        """Why it differs, as far as that can be told; empty if it does not."""
        return cause_of(self.first, sum(self.different.values()), self.after) if self.first else ""


class Checking:
    """Adds to what was checked of a partition.

    Args:
        log: What was recorded.
        checked: What has come of it; changed in place.
        since: Append time from which on records count.
    """

    def __init__(self, log: ReadableLog, checked: Checked, since: int) -> None:
        self._log, self._checked, self._since = log, checked, since
        self._held = {topic: log.end(topic, checked.partition) for topic in TOPICS}

    def take(self, emitted: Emitted, end: int) -> None:
        """Compare what came of one message.

        Args:
            emitted: It.
            end: Offset of `events` at which its shard stands now.
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
        """Compare all that a shard knows with the flow's checkpoint of the same place.

        What a River classifier knows is a pickle, which need not come out the same.

        Args:
            shard: Where it stands.
            recorded: The SHA-256 of the state in the checkpoint.
        """
        if shard.settings.online.river:
            return
        if sha256(shard.snapshot()).digest() == recorded:
            self._checked.states += 1
            return
        self._count("checkpoints", 1)
        place = "checkpoints", shard.partition, None, shard.position.offset, None
        cause = "the state in the checkpoint is another: it was altered, or what led to it was"
        self._checked.first = self._checked.first or Difference(*place, [], cause)

    def events(self, read: Hashed, recorded: Hashed | None) -> None:
        """Compare the events read with those of the flow, where nothing else tells a difference.

        Args:
            read: What was read here.
            recorded: What the flow's checkpoint of the same place says of it.
        """
        if recorded is None or read.first != recorded.first or read.hash == recorded.hash:
            return
        if self._checked.first is None:
            self._count(EVENTS, 1)
            place = EVENTS, self._checked.partition, None, recorded.end, None
            cause = "events before this offset were altered since the flow read them"
            self._checked.first = Difference(*place, [], cause)

    def at_end(self, shard: Shard, end: int, checkpoints: CheckpointStore) -> None:
        """All is replayed: no more may be recorded than the events give, nor less than once was.

        Args:
            shard: Where it stands.
            end: Offset of `events` at which the range ends.
            checkpoints: The flow's.
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
        """What a checkpoint counted was in the log before it was written."""
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
                checked.first = checked.first or Difference(*place, [], cause)

    def broken(self, error: ModelError) -> None:
        """The replay cannot go on."""
        checked = self._checked
        self._count(ACTIVATIONS, 1)
        if checked.first is None:
            place = ACTIVATIONS, checked.partition, None, checked.end, None
            checked.first = Difference(*place, [], str(error))

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
