"""Open the log that the settings name, in the home or in Kafka, and check it."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from flows.home.configuration import ConfigurationError
from flows.home.home import Home, check_directory, create_topics, fitting_topics
from flows.home.unfinished_repair import is_repair_unfinished
from operators.partition.log_check import check_log
from state.checkpoints.store import CheckpointStore
from state.log import EVENTS, Log, Trimmable, UnknownTopicError
from state.settings import Settings
from state.stream import Stream

_COMPARED = {"sqlite": 100_000, "kafka": 0}
"""Number of newest records to compare at each start with the hashes of the records once read; none
in Kafka, which keeps its own checksums."""


def find_log(settings: Settings, home: Home) -> Trimmable:
    """Open the log without creating or checking topics.

    Raises:
        ConfigurationError: The home is not a directory or its repair was interrupted, or Kafka's
            client is missing.
    """
    check_directory(home.root)
    if settings.log == "sqlite":
        if is_repair_unfinished(home.root):
            msg = (
                f"home must be complete; got one whose repair was interrupted in {home.root}: "
                "`headwater doctor --repair` resumes it"
            )
            raise ConfigurationError(msg)
        return home.log()
    with needing_kafka():
        from flows.home.kafka import kafka_log  # noqa: PLC0415 - needs an extra

        return kafka_log(settings.kafka)


@contextmanager
def needing_kafka() -> Iterator[None]:
    """Raise a hint what to install if Kafka's client is missing.

    Raises:
        ConfigurationError: The client is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        msg = f"log = 'kafka' must have its client; got '{error}': pip install 'headwater[kafka]'"
        raise ConfigurationError(msg) from error


def open_log(settings: Settings, stream: Stream, home: Home) -> Trimmable:
    """Open the log with all its topics: create them in the home, or check that Kafka has them.

    Raises:
        ValueError: The log has another number of partitions.
        LogError: Kafka lacks a topic, or does not answer.
    """
    log = find_log(settings, home)
    partitions = settings.partitions or stream.partitions
    if settings.log == "sqlite":
        create_topics(log, partitions)
    else:
        check_topics(log, partitions)
        check_cluster(settings, home, note=True)
    return log


def hidden_events(settings: Settings, partitions: Iterable[int]) -> str:
    """The end of a sentence on events that Kafka gives to no reader yet; empty: there are none.

    Takes a second if a transaction is open.

    Raises:
        LogError: Kafka does not answer.
    """
    if settings.log == "sqlite":
        return ""
    with needing_kafka():
        from flows.home.kafka import blocked_events  # noqa: PLC0415 - needs an extra

        blocked = blocked_events(settings.kafka, partitions)
    names = ", ".join(f"{EVENTS}/{one}" for one in blocked)
    if not names:
        return ""
    return f"; more is in {names}, and hidden until another program ends its transaction there"


def check_cluster(settings: Settings, home: Home, *, note: bool = False) -> None:
    """Refuse a home whose checkpoints belong to another log in Kafka.

    Args:
        settings: Settings that name the log.
        home: Home that notes the log it belongs to.
        note: Write the log's name into a home that has none yet.

    Raises:
        ConfigurationError: The home belongs to another cluster or prefix.
    """
    if settings.log == "kafka":
        with needing_kafka():
            from flows.home.kafka import check_home  # noqa: PLC0415 - needs an extra

            check_home(settings.kafka, home.root, note=note)


def check_topics(log: Log, partitions: int) -> None:
    """Refuse a log in Kafka whose topics do not fit the flow.

    Raises:
        UnknownTopicError: A topic is missing.
        ValueError: A topic has another number of partitions.
    """
    for topic, wanted in fitting_topics(log, partitions).items():
        try:
            found = log.partitions(topic)
        except UnknownTopicError as error:
            msg = f"{error}: make it with `headwater topics --apply`"
            raise UnknownTopicError(msg) from error
        if found != wanted:
            msg = f"partitions must be {wanted}; got {found} in topic {topic!r} of Kafka"
            raise ValueError(msg)


def check_kept(
    settings: Settings,
    log: Log,
    checkpoints: CheckpointStore,
    partition: int,
    *,
    compare: bool = True,
) -> None:
    """Refuse a log that has lost or changed records which a checkpoint has read.

    Args:
        settings: Settings that name the log.
        log: Log to check.
        checkpoints: Checkpoints of the shards that read it.
        partition: Partition of `events`.
        compare: Compare the newest records too, besides the end offsets.

    Raises:
        LogError: The end was lost, or a record has changed.
    """
    most = _COMPARED[settings.log] if compare else 0
    # A mirrored Kafka cluster may receive the outputs before the events.
    check_log(log, checkpoints, partition, most=most, outputs=settings.log == "sqlite")
