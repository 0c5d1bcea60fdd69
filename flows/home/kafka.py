"""Open the log in Kafka, from the settings and the environment."""

import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec.structs import replace

from flows.home.configuration import ConfigurationError
from flows.home.home import read_note
from state.atomic_write import write_atomically
from state.events import SECOND_US
from state.ingest.mapping import Decode
from state.kafka.broker_clocks import BrokerClocks
from state.kafka.cluster import Cluster, Options, to_stderr
from state.kafka.foreign_topics import ForeignTopics
from state.kafka.health import HealthProbe
from state.kafka.log import KafkaLog
from state.kafka.topic_plan import TopicPlan
from state.log import EVENTS
from state.settings import Kafka, Settings
from state.topics import TOPICS


def kafka_log(settings: Kafka) -> KafkaLog:
    """Make the log in the cluster that the settings name; this does not connect yet.

    Raises:
        ConfigurationError: An option of Kafka's client is invalid.
    """
    started = datetime.now(UTC)
    with _configuring():
        log = KafkaLog(
            _cluster(settings),
            prefix=settings.prefix,
            replication=settings.replication,
            writer=f"{socket.gethostname()} pid {os.getpid()} since {started:%Y-%m-%dT%H:%M:%SZ}",
            role_of=lambda topic, at: role_in(lambda: log.partitions(EVENTS), topic, at),
            msgpack=settings.format == "msgpack",
            keep_s={topic: span / SECOND_US for topic, span in settings.retention.items()},
        )
    return log


def role_in(partitions: Callable[[], int], topic: str, partition: int) -> str:
    """Role of the process that writes a partition of a topic.

    Args:
        partitions: Returns the partition count of `events`; called only for topics with one extra.
        topic: Name of one of Headwater's topics.
        partition: Partition of that topic.

    Example:
        >>> eight = lambda: 8
        >>> role_in(eight, "alerts", 7), role_in(eight, "alerts", 8), role_in(eight, "models", 0)
        ('shard', 'trainer', 'trainer')
    """
    of = TOPICS[topic]
    return of.beside if of.beside and partition >= partitions() else of.writer


def kafka_comparison(settings: Kafka) -> TopicPlan:
    """Plan of the topics in that cluster; raises as `kafka_log` does."""
    with _configuring():
        return TopicPlan(_cluster(settings), settings.replication)


def kafka_health(settings: Kafka) -> HealthProbe:
    """Asks that cluster how it is; errors as for `kafka_log`."""
    with _configuring():
        return HealthProbe(_cluster(settings), settings.prefix)


def blocked_events(settings: Kafka, partitions: Iterable[int]) -> list[int]:
    """The partitions of `events` that hold records behind a transaction that was never ended."""
    name = settings.prefix + EVENTS
    with closing(kafka_health(settings)) as health:
        return [place[1] for place in health.blocked([(name, one) for one in partitions])]


def foreign_topics(
    settings: Settings,
    topics: Iterable[str],
    position: Callable[[str], int | None],
    now: Callable[[], int],
    say: Callable[[str], None],
) -> ForeignTopics:
    """Open foreign topics in the cluster that the settings name."""
    cluster, skip_lost = foreign_cluster(settings), settings.ingest.skip_lost
    clocks = BrokerClocks(settings.clock.tolerance, settings.clock.span, say)
    return ForeignTopics(cluster, topics, position, now, clocks, skip_lost=skip_lost)


def record_decoders(settings: Settings) -> dict[str, Decode]:
    """Decoders of foreign records in Avro and Protobuf, by format; empty without a registry.

    Raises:
        ConfigurationError: A package for them is not installed, or an option cannot be used.
    """
    kafka = settings.kafka
    if not kafka.schema_registry:
        return {}
    try:
        from state.kafka.schema_registry import SchemaRegistry  # noqa: PLC0415 - needs an extra
    except ModuleNotFoundError as error:
        msg = (
            f"kafka.schema_registry must have its client; got '{error}': "
            "pip install 'headwater[schemas]'"
        )
        raise ConfigurationError(msg) from error
    options = _options(kafka.schema_registry_options, "kafka.schema_registry_options")
    patience_s = kafka.patience / SECOND_US
    with _configuring():
        return SchemaRegistry(kafka.schema_registry, options, to_stderr, patience_s).decoders()


def foreign_cluster(settings: Settings) -> Cluster:
    """The cluster that has the foreign topics; raises as `kafka_log` does."""
    ingest, kafka = settings.ingest, settings.kafka
    if ingest.bootstrap:
        kafka = replace(kafka, bootstrap=ingest.bootstrap, options=ingest.options)
    with _configuring():
        return _cluster(kafka)


class _Log(msgspec.Struct, frozen=True):
    """Content of a home's `kafka.json`: the log that its checkpoints belong to."""

    cluster: str
    prefix: str


def check_home(settings: Kafka, root: Path, *, note: bool) -> None:
    """Refuse a home whose checkpoints belong to another log.

    Args:
        settings: Settings that name the log.
        root: The home's directory.
        note: Write the log's name into a home that has none yet.

    Raises:
        ConfigurationError: The home belongs to another cluster or prefix.
    """
    with _configuring():
        ours = _Log(_cluster(settings).id(), settings.prefix)
    path = root / "kafka.json"
    theirs = read_note(path, _Log)
    if theirs is None:
        if note:
            write_atomically(path, msgspec.json.encode(ours))
        return
    if theirs != ours:
        msg = (
            f"home must be of cluster {ours.cluster!r}, prefix {ours.prefix!r}; got one of "
            f"{theirs.cluster!r}, {theirs.prefix!r} in {path}: give each log a HEADWATER_HOME"
        )
        raise ConfigurationError(msg)


@contextmanager
def _configuring() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def _cluster(settings: Kafka) -> Cluster:
    options = _options(settings.options, "kafka.options")
    return Cluster(settings.bootstrap, options, patience_s=settings.patience / 1e6)


def _options(options: Options, where: str) -> dict[str, str | int | float | bool]:
    """Options with their values; `env:NAME` stands for a variable."""
    return {name: _secret(name, value, os.environ, where) for name, value in options.items()}


def _secret(
    name: str, value: str | float | bool, environment: Mapping[str, str], where: str
) -> str | int | float | bool:
    """Value of an option; `env:NAME` is replaced by that environment variable."""
    if not isinstance(value, str) or not value.startswith("env:"):
        return value
    variable = value.removeprefix("env:")
    if variable not in environment:
        msg = f"environment must have {variable}; got no such variable for {where} {name!r}"
        raise ConfigurationError(msg)
    return environment[variable]
