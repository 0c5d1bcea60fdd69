"""Check the clocks of Kafka's brokers, as their append times judge the clocks of all sources."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Consumer, KafkaError, TopicPartition

from state.durations import Duration
from state.events import SECOND_US
from state.kafka.cluster import Cluster, Patience
from state.kafka.reader import refuse
from state.kafka.topics import Topics

_EOF = KafkaError._PARTITION_EOF  # noqa: SLF001 - librdkafka's own name
_BACK = 10
_WAIT_S = 0.1


class BrokerClocks:
    """Reports a broker whose clock differs from this machine's.

    Args:
        tolerance: Largest accepted difference.
        every: Least time between two reports on a broker.
        say: Called with a line.
    """

    def __init__(self, tolerance: Duration, every: Duration, say: Callable[[str], None]) -> None:
        self._tolerance, self._every, self._say = tolerance, every, say
        self._quiet_until: dict[str, int] = {}

    def compare(self, broker: str, place: str, stamped: int, since: int, now: int) -> None:
        """Compare a broker's time on a record with the time at which it was appended.

        Args:
            broker: Address, `host:port`.
            place: Topic and partition of the record, for the message.
            stamped: The broker's time, microseconds UTC.
            since: Lower bound of the append by this machine's clock, microseconds UTC.
            now: Upper bound of it, microseconds UTC.
        """
        ahead = max(0, stamped - now) or min(0, stamped - since)
        if abs(ahead) > self._tolerance and now >= self._quiet_until.get(broker, now):
            self._quiet_until[broker] = now + self._every
            self._say(
                f"clock of Kafka's broker {broker} must be within {self._tolerance} of this "
                f"machine's; got one {_told(ahead)} in {place}: set one of the two right, for all "
                "sources are judged by append times"
            )


def _told(ahead_us: int) -> str:
    """Format the difference of a clock."""
    return f"{abs(ahead_us) / SECOND_US:,.1f} s {'ahead' if ahead_us > 0 else 'behind'}"


class Stamped(NamedTuple):
    """A record with a broker's time.

    Attributes:
        broker: Address, `host:port`, of the partition's current leader.
        place: Topic and partition.
        time: The broker's time, microseconds UTC.
    """

    broker: str
    place: str
    time: int


def newest_of(cluster: Cluster, topics: Iterable[str]) -> list[Stamped]:
    """The newest record of each broker that stamps records itself.

    Args:
        cluster: Cluster with the topics.
        topics: Names in Kafka.

    Raises:
        LogError: A topic is missing, or Kafka does not answer.
    """
    asking, consumer = cluster.consumer({}), cluster.consumer({})
    looked = Topics(cluster, asking, 1)
    led = {(t, p): place.leader for t in topics for p, place in enumerate(looked.places(t))}
    waiting = Patience(cluster, "look up the newest records")
    left = set(led)
    with cluster.doing(waiting.what):
        for name in led:
            tail = TopicPartition(*name)
            low, high = cluster.ask(waiting.what, partial(_ends, asking, tail), asking.poll)
            tail.offset = max(low, high - _BACK)  # markers of transactions are among them
            consumer.incremental_assign([tail])
    newest: dict[str, Stamped] = {}
    while left:
        for message in consumer.consume(_BACK, _WAIT_S):
            name, error = (message.topic() or "", message.partition() or 0), message.error()
            place, (kind, timestamp_ms) = f"{name[0]}/{name[1]}", message.timestamp()
            if error is not None and error.code() == _EOF:
                left.discard(name)
            elif error is not None:
                refuse(cluster, place, error)
            elif kind == TIMESTAMP_LOG_APPEND_TIME:
                one = Stamped(led[name], place, timestamp_ms * 1000)
                newest[one.broker] = max(one, newest.get(one.broker, one), key=lambda s: s.time)
        waiting.go_on()
    for client in (asking, consumer):
        client.close()
    return sorted(newest.values())


def _ends(consumer: Consumer, place: TopicPartition, seconds: float) -> tuple[int, int]:
    ends = consumer.get_watermark_offsets(place, seconds)
    assert ends is not None
    return ends
