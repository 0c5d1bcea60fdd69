"""Writing to Kafka: transactions of the one writer that a role has in each partition."""

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message

from state.kafka.cluster import Cluster
from state.kafka.records import header_of, packed
from state.log import Entry, LogError

_FENCED = frozenset(
    {
        KafkaError._FENCED,  # noqa: SLF001 - librdkafka's own name
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
    }
)


class FencedError(LogError):
    """Another writer has taken over, or Kafka gave this one up; it must stop."""


class ForgottenError(LogError):
    """Kafka no longer knows the writer, which wrote nothing for days; a new one may go on."""


class Part(NamedTuple):
    """What one transaction appends to one topic.

    Attributes:
        name: Kafka's of the topic.
        sequence: Of the first entry.
        entries: With append times that do not run backwards.
    """

    name: str
    sequence: int
    entries: Sequence[Entry]


class Writer:
    """A transactional producer; making one fences off whoever had its id before.

    Attributes:
        lock: Held by whoever uses it.
        ends: The end and the last append time of what it has written to, by topic.

    Args:
        cluster: Where.
        transactional_id: One for each role and partition.
        partition: Which.
        me: Written beside each record, for people.
        successor: Says who wrote a part's place in a partition instead; "" if nobody did.
        msgpack: Values lie in Kafka as MessagePack, where they come back byte for byte.
    """

    def __init__(
        self,
        cluster: Cluster,
        transactional_id: str,
        partition: int,
        me: str,
        successor: Callable[[Part, int], str],
        *,
        msgpack: bool = False,
    ) -> None:
        self.lock = threading.Lock()
        self.ends: dict[str, tuple[int, int]] = {}
        self._cluster, self._id, self._partition = cluster, transactional_id, partition
        self._me, self._successor, self._msgpack = me, successor, msgpack
        self._undelivered: KafkaError | None = None
        self._broken: LogError | None = None
        self._producer = cluster.producer(
            {"transactional.id": transactional_id, "on_delivery": self._on_undelivered}
        )
        what = f"become the writer {transactional_id}"
        with cluster.doing(what):
            cluster.ask(what, self._producer.init_transactions, self._producer.poll)

    def commit(self, parts: Sequence[Part]) -> None:
        """Write all parts or none; they are durable when this returns.

        After an error what was written is not known, so no other call succeeds: a new writer
        aborts what was left open and finds the end.

        Raises:
            FencedError: Another writer has taken over, or the transaction took too long.
            ForgottenError: Kafka forgot this one; nothing was written.
            LogError: Kafka does not take them.
        """
        if self._broken is not None:
            raise self._broken
        self._broken = LogError(f"append must end before the next; got one cut off in {self._id}")
        try:
            self._producer.begin_transaction()
            for part in parts:
                self._produce(part)
            what = f"commit {self._id}"
            self._cluster.ask(what, self._producer.commit_transaction, self._producer.poll)
        except KafkaException as error:
            raise self.broken_by(error.args[0], parts[0]) from error
        except LogError as error:
            self._broken = error
            raise
        self._broken = None

    def close(self) -> None:
        """Let go of the connections; an open transaction is the next writer's to abort."""
        # Its own `close` ends the transaction first, and raises what is known already.
        del self._producer

    def _produce(self, part: Part) -> None:
        produce, me = self._producer.produce, self._me.encode()
        name, partition = part.name, self._partition
        for sequence, (append_time, key, value) in enumerate(part.entries, part.sequence):
            headers = header_of(sequence, append_time, me)
            lies, form = packed(value) if self._msgpack else (value, [])
            produce(name, lies, key, partition, headers=headers + form)

    def _on_undelivered(self, error: KafkaError | None, message: Message) -> None:
        del message
        # Once one message is refused, those behind it are purged.
        if error is not None and error.code() != KafkaError._PURGE_QUEUE:  # noqa: SLF001
            self._undelivered = self._undelivered or error

    def broken_by(self, error: KafkaError, part: Part) -> LogError:
        """The error of ours that an error of Kafka's is; no other call succeeds after it."""
        if error.code() in _FENCED:
            other = self._successor(part, self._partition)
            # Kafka fences off a writer of a transaction that took too long in the same way.
            unknown = (
                "one that has not written yet, or by Kafka for a transaction that took too long"
            )
            who = f"{other}, which lives" if other else unknown
            self._broken = FencedError(
                f"writer {self._id} must be the only one; got fenced off by {who}: "
                f"this one ({self._me}) has stopped"
            )
            return self._broken
        if error.code() == KafkaError.INVALID_PRODUCER_ID_MAPPING:
            self._broken = ForgottenError(
                f"writer {self._id} must be known to Kafka; got '{error.str()}' from "
                f"{self._cluster}"
            )
            return self._broken
        self._broken = self._cluster.failure(f"append to {part.name}", self._undelivered or error)
        return self._broken
