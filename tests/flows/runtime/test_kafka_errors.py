"""Errors that a user can correct: exit code 2 and one line from `headwater run`, soon."""

import time
import uuid

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from flows.__main__ import main
from flows.home.home import Home, create_topics, wanted_topics
from flows.ingest import append_history
from flows.streams.quotes import stream
from flows.streams.quotes_market import Market
from state.kafka.cluster import Cluster
from state.kafka.log import KafkaLog
from state.kafka.topics import Topics
from tests.kafka.broker import PASSWORD, USER
from tests.waiting import until

SETTINGS = """
stream = "quotes"
log = "kafka"
partitions = 2
[training]
trainer = "external"
wait = false
[kafka]
"""
SASL = (
    'options = { "security.protocol" = "SASL_PLAINTEXT", "sasl.mechanism" = "PLAIN", '
    f'"sasl.username" = "{USER}", "sasl.password" = "env:PASSWORD" }}\n'
)


@pytest.fixture
def prefix():
    return f"{uuid.uuid4().hex[:8]}."


@pytest.fixture
def cluster(broker):
    return Cluster(broker.bootstrap, {})


@pytest.fixture
def log(cluster, prefix):
    """All topics, with some events."""
    log = KafkaLog(cluster, prefix=prefix, writer="fill")
    create_topics(log, 2)
    append_history(log, Market(seed=2, rate_per_s=0.5).events(0.1), stream.peek())
    yield log
    log.close()


@pytest.fixture
def told(tmp_path, monkeypatch, capsys, prefix):
    """The line of a run on Kafka at an address."""

    def run(bootstrap, more="", *, verb="run"):
        (tmp_path / "headwater.toml").write_text(
            f'{SETTINGS}bootstrap = "{bootstrap}"\nprefix = "{prefix}"\n{more}'
        )
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("HEADWATER_CONFIG", raising=False)
        monkeypatch.setenv("HEADWATER_HOME", str(tmp_path / "home"))
        started = time.monotonic()
        assert main([verb]) == 2
        assert time.monotonic() - started < 30
        lines = capsys.readouterr().err.splitlines()
        (line,) = [line for line in lines if line.startswith("headwater: ")]
        assert lines[-1] == line
        return line

    return run


@pytest.mark.kafka  # it needs no broker, but the 15 seconds for which one is waited for
def test_a_broker_out_of_reach(told, prefix):
    line = told("127.0.0.1:1")
    assert "Kafka at 127.0.0.1:1 must answer within 15 s" in line
    assert "refused" in line


def test_a_broker_that_hangs(told, broker):
    broker.pause()
    try:
        assert f"Kafka at {broker.bootstrap} must answer within 15 s" in told(broker.bootstrap)
    finally:
        broker.resume()


def test_a_wrong_password(told, broker, monkeypatch):
    monkeypatch.setenv("PASSWORD", "guess")
    line = told(broker.sasl, SASL)
    assert "cannot log in: " in line
    assert "Authentication" in line


def test_a_missing_topic(told, cluster, broker, prefix):
    topics = Topics(cluster, cluster.consumer({}), 1)
    for name, partitions in wanted_topics(2).items():
        if name != "outcomes":
            topics.create(prefix + name, partitions)
    line = told(broker.bootstrap)
    assert f"topic must be created first; got '{prefix}outcomes'" in line
    assert "`headwater topics --apply`" in line


def test_a_wrong_number_of_partitions(told, cluster, broker, prefix):
    topics = Topics(cluster, cluster.consumer({}), 1)
    for name, partitions in wanted_topics(3).items():
        topics.create(prefix + name, partitions)
    assert "partitions must be 2; got 3 in topic 'events'" in told(broker.bootstrap)


@pytest.mark.usefixtures("log")
def test_a_message_over_the_size_limit(told, cluster, broker, prefix):
    topics = Topics(cluster, cluster.consumer({}), 1)
    topics.configure(f"{prefix}predictions", {"max.message.bytes": "1000"})
    line = told(broker.bootstrap)
    assert "cannot append to" in line
    assert "large" in line


@pytest.mark.usefixtures("log")
def test_permissions_that_are_missing_one_after_the_other(told, broker, prefix, monkeypatch):
    monkeypatch.setenv("PASSWORD", PASSWORD)
    admin = AdminClient({"log_level": 0, "bootstrap.servers": broker.bootstrap})

    def allow(kind, operation):
        acl = AclBinding(
            kind,
            prefix,
            ResourcePatternType.PREFIXED,
            f"User:{USER}",
            "*",
            operation,
            AclPermissionType.ALLOW,
        )
        admin.create_acls([acl])[acl].result()
        # The broker takes it over from its controller a little later.
        until(lambda: len(admin.describe_acls(_like(acl)).result()) == 1)

    line = told(broker.sasl, SASL)
    assert f"look up topic '{prefix}" in line
    assert "authoriz" in line.lower()
    allow(ResourceType.TOPIC, AclOperation.READ)
    line = told(broker.sasl, SASL)
    assert f"become the writer {prefix}headwater-shard-" in line
    assert "authoriz" in line.lower()
    allow(ResourceType.TRANSACTIONAL_ID, AclOperation.ALL)
    line = told(broker.sasl, SASL)
    assert f"append to {prefix}" in line
    assert "authoriz" in line.lower()
    allow(ResourceType.TOPIC, AclOperation.WRITE)
    assert main(["run"]) == 0


def _like(acl):
    return AclBindingFilter(
        acl.restype, acl.name, acl.resource_pattern_type, acl.principal, acl.host, acl.operation,
        acl.permission_type,
    )  # fmt: skip


@pytest.mark.usefixtures("log")
def test_a_home_of_another_cluster_or_prefix(told, broker, prefix, tmp_path):
    home = Home(tmp_path / "home")
    home.root.mkdir()
    (home.root / "kafka.json").write_text(f'{{"cluster":"another","prefix":"{prefix}"}}')
    for verb in ("run", "status"):
        line = told(broker.bootstrap, verb=verb)
        assert f"got one of 'another', '{prefix}' in {home.root}/kafka.json" in line
    assert [path.name for path in home.root.iterdir()] == ["kafka.json"]
