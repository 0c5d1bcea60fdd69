"""The log that the settings name: in the home, or in Kafka."""

from collections.abc import Iterator
from contextlib import contextmanager

from flows.home.configuration import ConfigurationError
from flows.home.home import Home, check_directory, create_topics, fitting_topics
from flows.home.unfinished_repair import is_repair_unfinished
from operators.partition.log_check import check_log
from state.checkpoints.store import CheckpointStore
from state.log import Log, Trimmable, UnknownTopicError
from state.settings import Settings
from state.stream import Stream

_COMPARED = {"sqlite": 100_000, "kafka": 0}
"""How many of the newest records are compared with what was read of them at each start; Kafka
keeps its own checksums."""


def find_log(settings: Settings, home: Home) -> Trimmable:
    """The log, whatever topics it has.

    Raises:
        ConfigurationError: The home is not a directory or its repair was interrupted, or Kafka is
            wanted and cannot be set up.
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
    """Tell what to install where Kafka's client is missing.

    Raises:
        ConfigurationError: It is.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        msg = f"log = 'kafka' must have its client; got '{error}': pip install 'headwater[kafka]'"
        raise ConfigurationError(msg) from error


def open_log(settings: Settings, stream: Stream, home: Home) -> Trimmable:
    """The log with all its topics: made in the home, looked for in Kafka.

    Raises:
        ValueError: It was made with another number of partitions.
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


def check_cluster(settings: Settings, home: Home, *, note: bool = False) -> None:
    """Refuse a home whose checkpoints belong to another log in Kafka.

    Args:
        settings: Name the log.
        home: Knows the log that it was first used with.
        note: Make the home know it from now on.

    Raises:
        ConfigurationError: It was used with another cluster or prefix.
    """
    if settings.log == "kafka":
        with needing_kafka():
            from flows.home.kafka import check_home  # noqa: PLC0415 - needs an extra

            check_home(settings.kafka, home.root, note=note)


def check_topics(log: Log, partitions: int) -> None:
    """Refuse a log in Kafka that is not as a run needs it.

    Raises:
        UnknownTopicError: It lacks a topic.
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
    """Refuse a log that does not hold any more what was read of it.

    Args:
        settings: Say where it is.
        log: Which.
        checkpoints: Of those that read it.
        partition: Of `events`.
        compare: Read the newest records too, and not only where the log ends.

    Raises:
        LogError: The end was lost, or a record is another.
    """
    most = _COMPARED[settings.log] if compare else 0
    # In Kafka a mirror may have the outputs before the events.
    check_log(log, checkpoints, partition, most=most, outputs=settings.log == "sqlite")
