"""Write to Kafka: transactions of the one writer of a role in each partition."""

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
    """Another writer has taken over, or Kafka aborted this one; it must stop."""


class ForgottenError(LogError):
    """Kafka no longer knows the writer, which wrote nothing for days; a new one may take over."""


class Part(NamedTuple):
    """The part of a transaction for one topic.

    Attributes:
        name: Name of the topic in Kafka.
        sequence: Sequence of the first entry.
        entries: Entries with append times that do not decrease.
    """

    name: str
    sequence: int
    entries: Sequence[Entry]


class Writer:
    """A transactional producer; making one fences off the previous owner of its id.

    Attributes:
        lock: Held while the writer is used.
        ends: End and last append time of each topic it has written to.

    Args:
        cluster: Cluster of the log.
        transactional_id: One id for each role and partition.
        partition: The partition.
        me: Description of this writer in each record.
        successor: Returns who wrote at a part's sequence instead; "" if no one did.
        msgpack: Store values as MessagePack if they come back byte for byte.
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
        """Write all parts or none, durably.

        After an error it is unknown what was written, so no later call succeeds: a new writer
        aborts the open transaction and looks up the end.

        Raises:
            FencedError: Another writer has taken over, or the transaction took too long.
            ForgottenError: Kafka no longer knows this writer; nothing was written.
            LogError: Kafka refuses the records.
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
        """Close the connections; the next writer aborts an open transaction."""
        # The client's own `close` first ends the transaction, and raises errors that are known
        # already.
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
        # After one message was refused, the later ones are purged.
        if error is not None and error.code() != KafkaError._PURGE_QUEUE:  # noqa: SLF001
            self._undelivered = self._undelivered or error

    def broken_by(self, error: KafkaError, part: Part) -> LogError:
        """Turn an error of Kafka into ours; no later call succeeds."""
        if error.code() in _FENCED:
            other = self._successor(part, self._partition)
            # Kafka also fences off a writer whose transaction took too long.
            unknown = "a writer that has not written yet, or by Kafka after too long a transaction"
            who = f"{other}, which is running" if other else unknown
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
