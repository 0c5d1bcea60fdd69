"""The log in Kafka, from the settings and the environment."""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

from flows.configuration import ConfigurationError
from state.kafka_cluster import Cluster
from state.kafka_log import KafkaLog
from state.kafka_topics import Topics
from state.log import EVENTS
from state.settings import Kafka

_ROLES = {EVENTS: "ingest", "models": "trainer"}
"""What a process of its own may write; all other topics are written by the shard's."""


def kafka_log(settings: Kafka) -> KafkaLog:
    """The log in the cluster that the settings name; nothing is asked of it yet.

    Raises:
        ConfigurationError: An option cannot be used.
    """
    started = datetime.now(UTC)
    with _configuring():
        return KafkaLog(
            _cluster(settings),
            prefix=settings.prefix,
            replication=settings.replication,
            writer=f"{socket.gethostname()} pid {os.getpid()} since {started:%Y-%m-%dT%H:%M:%SZ}",
            role_of=lambda topic: _ROLES.get(topic, "shard"),
        )


def kafka_topics(settings: Kafka) -> Topics:
    """The topics in that cluster; errors as for `kafka_log`."""
    with _configuring():
        cluster = _cluster(settings)
        return Topics(cluster, cluster.consumer({}), settings.replication)


@contextmanager
def _configuring() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def _cluster(settings: Kafka) -> Cluster:
    options = {name: _secret(name, value, os.environ) for name, value in settings.options.items()}
    return Cluster(settings.bootstrap, options)


def _secret(
    name: str, value: str | float | bool, environment: Mapping[str, str]
) -> str | int | float | bool:
    """An option's value; `env:NAME` stands for a variable."""
    if not isinstance(value, str) or not value.startswith("env:"):
        return value
    variable = value.removeprefix("env:")
    if variable not in environment:
        msg = f"environment must have {variable}; got no such variable for kafka.options {name!r}"
        raise ConfigurationError(msg)
    return environment[variable]
