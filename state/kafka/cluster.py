"""Connect to Kafka: the clients' settings, and its errors as one line each."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from state.log import MAX_VALUE_BYTES, LogError

T = TypeVar("T")
Options = Mapping[str, str | int | float | bool]

MAX_MESSAGE_BYTES = MAX_VALUE_BYTES + 2**20
"""Largest message of clients and topics, in bytes: a value, its key and its header."""

_FIRST_S = 15.0
_TRY_S = 1.0
_NOTICE_S = 3.0
_REPEAT_S = 5.0
_SPARE_S = 60.0

_FETCH_BYTES = 2**20
_READS = {
    "group.id": "headwater",  # required by librdkafka; nothing is ever committed to it
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "isolation.level": "read_committed",
    "auto.offset.reset": "error",
    "allow.auto.create.topics": False,
    "fetch.message.max.bytes": _FETCH_BYTES,
    "fetch.queue.backoff.ms": 2,  # else a full queue stops the fetches for a second
    "queued.max.messages.kbytes": 16 * 2**10,
}
_WRITES = {
    "enable.idempotence": True,
    "acks": "all",
    "delivery.report.only.error": True,
    "message.max.bytes": MAX_MESSAGE_BYTES,
    "queue.buffering.max.messages": 0,
    "queue.buffering.max.kbytes": 2**21 - 1,
}
OWN_OPTIONS = frozenset({"bootstrap.servers", "transactional.id", *_READS, *_WRITES}) - {
    "group.id",
    "fetch.message.max.bytes",
    "fetch.queue.backoff.ms",
    "queued.max.messages.kbytes",
}
"""Options that the log's guarantees depend on; users must not set them."""

_PASSING = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001 - librdkafka's own names
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._TIMED_OUT_QUEUE,  # noqa: SLF001
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._DESTROY_BROKER,  # noqa: SLF001 - the request met a broker being replaced
        KafkaError._RESOLVE,  # noqa: SLF001
        KafkaError._WAIT_COORD,  # noqa: SLF001
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001 - a broker that just started knows no topic yet
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.NOT_COORDINATOR,
    }
)
_REFUSED = frozenset({KafkaError._AUTHENTICATION, KafkaError._SSL})  # noqa: SLF001


def to_stderr(line: str) -> None:
    """Write a line to standard error."""
    sys.stderr.write(f"{line}\n")


class Cluster:
    """A Kafka cluster, with the settings that all clients of a log share.

    Args:
        bootstrap: `host:port`, several separated by commas.
        options: Further settings of librdkafka.
        say: Called with a line while waiting for Kafka.
        patience_s: Seconds that one call waits for Kafka; at most 15 before its first answer.

    Raises:
        ValueError: An option is reserved or invalid.
    """

    def __init__(
        self,
        bootstrap: str,
        options: Options,
        say: Callable[[str], None] = to_stderr,
        patience_s: float = 120.0,
    ) -> None:
        taken = sorted(OWN_OPTIONS & options.keys())
        if taken:
            msg = f"options must leave {taken} to Headwater; got values for them in kafka.options"
            raise ValueError(msg)
        self.bootstrap = bootstrap
        self.say = say
        self._patience_s = patience_s
        self._options = dict(options)
        self.reached = False
        self._last: KafkaError | None = None

    @property
    def fetch_bytes(self) -> int:
        """The most that one fetch brings of a partition, if its first message is no larger."""
        return int(self._options.get("fetch.message.max.bytes", _FETCH_BYTES))

    def look_up(self, consumer: Consumer, name: str, serve: Callable[[float], object]) -> None:
        """Load a topic's metadata into a consumer.

        Otherwise librdkafka loads it a second after the first use.

        Args:
            consumer: The consumer.
            name: The topic's name in Kafka.
            serve: See `ask`; it must lose no message.

        Raises:
            LogError: Kafka does not answer.
        """
        what = f"look for topic {name!r}"
        with self.doing(what):
            self.ask(what, lambda s: consumer.list_topics(name, s), serve)

    def consumer(self, own: Options) -> Consumer:
        """Make a reader of committed records that raises an error on lost records."""
        return self._client(Consumer, {**_READS, **self._options, **own})

    def producer(self, own: Mapping[str, Any]) -> Producer:
        """Make a transactional, idempotent writer."""
        # A transaction must not time out before the patience ends.
        timeout = {"transaction.timeout.ms": round((self._patience_s + _SPARE_S) * 1000)}
        return self._client(Producer, {**_WRITES, **timeout, **self._options, **own})

    def admin(self) -> AdminClient:
        """Make an administrator of topics."""
        return self._client(AdminClient, self._options)

    def ask(self, what: str, call: Callable[[float], T], serve: Callable[[float], object]) -> T:
        """Call Kafka, and retry while it cannot be reached.

        Args:
            what: Description of the call, for messages.
            call: Takes the seconds it may wait, and returns the answer.
            serve: The client's `poll`, by which librdkafka reports errors.

        Raises:
            LogError: Kafka stays out of reach, or the password is wrong.
            KafkaException: Kafka answers with a permanent error.
        """
        waiting = Patience(self, what)
        while True:
            try:
                answer = call(_TRY_S)
            except KafkaException as error:
                if not passes(error.args[0]):
                    raise
                self._last = self._last or error.args[0]
            else:
                self.reached, self._last = True, None
                return answer
            serve(0.1)
            waiting.go_on()

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Turn an error of Kafka into a LogError.

        Raises:
            LogError: Kafka raised an error.
        """
        try:
            yield
        except KafkaException as error:
            raise self.failure(what, error.args[0]) from error

    def id(self) -> str:
        """Kafka's id of the cluster, which stays when its addresses change."""
        asking = self.consumer({})
        what = "tell which cluster it is"
        with self.doing(what):
            there = self.ask(what, lambda s: asking.list_topics("none", s), asking.poll)
        asking.close()
        return there.cluster_id or "none"

    def failure(self, what: str, cause: KafkaError) -> LogError:
        """Make a LogError from an error of Kafka."""
        return LogError(f"cannot {what}: {cause.str()} ({self})")

    def patience_s(self) -> float:
        """Seconds to wait from now."""
        return self._patience_s if self.reached else min(self._patience_s, _FIRST_S)

    def last_error(self) -> str:
        """The last error that librdkafka reported, for messages."""
        return self._last.str() if self._last is not None else "no answer"

    def check_refused(self) -> None:
        """Raise an error that waiting cannot resolve, unless the cluster has answered before.

        Raises:
            LogError: User, password or certificate are wrong.
        """
        if not self.reached and self._last is not None and self._last.code() in _REFUSED:
            msg = f"cannot log in: {self._last.str()} ({self})"
            raise LogError(msg)

    def __str__(self) -> str:
        return f"Kafka at {self.bootstrap}"

    def _client(self, kind: Callable[[dict[str, Any]], T], options: Mapping[str, Any]) -> T:
        ours = {"bootstrap.servers": self.bootstrap, "error_cb": self.note}
        try:
            return kind({"log_level": 2, **options, **ours})
        except KafkaException as error:
            msg = f"kafka.options must be librdkafka's; got '{error.args[0].str()}'"
            raise ValueError(msg) from error

    def note(self, error: KafkaError) -> None:
        """Keep an error for messages; "all brokers are down" only follows the actual reasons."""
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001
            self._last = error


class Patience:
    """Waiting for one answer with a time limit; prints what it waits for.

    Args:
        cluster: Cluster that must answer.
        what: Description, for messages.

    Attributes:
        what: Description, for messages; the caller may change it while it waits.
    """

    def __init__(self, cluster: Cluster, what: str) -> None:
        self._cluster, self.what = cluster, what
        self._started = time.monotonic()
        self._limit = cluster.patience_s()
        self._say_at = _NOTICE_S

    def go_on(self) -> None:
        """Return if there is time left.

        Raises:
            LogError: The time is over, or waiting cannot help.
        """
        cluster = self._cluster
        cluster.check_refused()
        waited = time.monotonic() - self._started
        if waited >= self._limit:
            msg = (
                f"{cluster} must answer within {self._limit:.0f} s ({self.what}); "
                f"got '{cluster.last_error()}'"
            )
            raise LogError(msg)
        if waited >= self._say_at:
            self._say_at += _REPEAT_S
            cluster.say(
                f"Waiting for {cluster}, up to {self._limit - waited:.0f} s more "
                f"({self.what}): {cluster.last_error()}"
            )


def passes(error: KafkaError) -> bool:
    """Whether an error is temporary."""
    return error.code() in _PASSING or (error.retriable() and not error.txn_requires_abort())
