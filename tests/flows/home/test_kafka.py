"""The log in Kafka as the settings name it, from topics to predictions."""

import uuid
from pathlib import Path

import pytest

from flows.__main__ import main
from flows.home.configuration import ConfigurationError, load_settings
from flows.home.home import ALL_TOPICS, Home
from flows.home.kafka import kafka_log
from flows.home.open_log import find_log, needing_kafka
from flows.streams.quotes_market import Market
from state.ingest.positions import LETTERS, IngestWriter
from state.log import Entry
from state.settings import changed, settings_from
from tests.kafka.matrix import held

SETTINGS = """
stream = "quotes"
partitions = 2

[training]
trainer = "external"
wait = false
"""


@pytest.fixture
def kafka(tmp_path, monkeypatch, broker):
    """Settings and an empty home, with a cluster to itself as far as names go."""
    prefix = f"{uuid.uuid4().hex[:8]}."
    kafka = f'\n[kafka]\nbootstrap = "{broker.bootstrap}"\nprefix = "{prefix}"\n'
    (tmp_path / "kafka.toml").write_text('log = "kafka"\n' + SETTINGS + kafka)
    (tmp_path / "sqlite.toml").write_text(SETTINGS)
    events = tmp_path / "events.jsonl"
    events.write_bytes(b"\n".join(Market(seed=2, rate_per_s=1.5).events(0.2)))
    monkeypatch.chdir(tmp_path)
    configure(monkeypatch, "kafka")
    return prefix


def configure(monkeypatch, log):
    monkeypatch.setenv("HEADWATER_CONFIG", f"{log}.toml")
    monkeypatch.setenv("HEADWATER_HOME", f"{log}-home")


def records():
    """All that the log of the settings holds, by topic and partition."""
    settings = load_settings()
    log = find_log(settings, Home.of({"HEADWATER_HOME": f"{settings.log}-home"}))
    found = held(log)
    log.close()
    return found


def test_topics_are_compared_made_and_then_as_they_should_be(kafka, capsys):
    assert main(["topics"]) == 1
    said = capsys.readouterr().out
    assert f"+ {kafka}events: 2 partitions\n" in said
    assert f"+ {kafka}alerts: 3 partitions\n" in said
    assert f"{len(ALL_TOPICS)} topics, differences: {len(ALL_TOPICS)}" in said
    assert main(["topics", "--apply"]) == 0
    capsys.readouterr()
    assert main(["topics"]) == 0
    assert capsys.readouterr().out == f"{len(ALL_TOPICS)} topics, no differences\n"


def test_a_missing_topic_and_a_wrong_number_of_partitions_are_told(kafka, capsys):
    assert main(["ingest", "events.jsonl"]) == 2
    assert "'headwater topics --apply'" in capsys.readouterr().err.replace("`", "'")
    log = kafka_log(load_settings().kafka)
    for topic in ALL_TOPICS:
        log.create(topic, 2)
    log.close()
    assert main(["ingest", "events.jsonl"]) == 2
    assert "partitions must be 3; got 2 in topic 'alerts'" in capsys.readouterr().err
    assert main(["topics", "--apply"]) == 1
    assert f"! {kafka}alerts: has 2 partitions, must have 3" in capsys.readouterr().out


PACKED = 'format = "msgpack"\nretention = { predictions = "1d", metrics = "1d" }\n'
"""Of `[kafka]`: `events` are as they are, what the run writes is packed."""


@pytest.mark.timeout(120)
def test_a_run_on_kafka_writes_the_bytes_that_a_run_on_sqlite_writes(kafka, monkeypatch):
    assert main(["topics", "--apply"]) == 0
    held = {}
    for log in ("kafka", "sqlite"):
        configure(monkeypatch, log)
        assert main(["ingest", "events.jsonl"]) == 0
        with (Path(f"{log}.toml")).open("a") as settings:
            settings.write(PACKED if log == "kafka" else "")
        assert main(["run"]) == 0
        held[log] = records()
    assert held["kafka"] == held["sqlite"]
    assert len(held["kafka"]["predictions", 0]) > 100


def test_the_trainer_the_shard_and_ingest_do_not_fence_each_other_off(kafka):
    assert main(["topics", "--apply"]) == 0
    ingest, trainer, shard = (kafka_log(load_settings().kafka) for _ in range(3))
    IngestWriter(ingest, "m")
    for n in range(3):
        entry = [Entry(n, b"", b"x")]
        assert ingest.append(LETTERS, 2, entry, sequence=n) == n + 1
        assert trainer.append("alerts", 2, entry, sequence=n) == n + 1
        assert trainer.append("models", 0, entry, sequence=n) == n + 1
        assert shard.append_all(1, {LETTERS: (n, entry), "alerts": (n, entry)})
    for log in (ingest, trainer, shard):
        log.close()


def test_topics_are_kafkas_only(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEADWATER_CONFIG", raising=False)
    assert main(["topics"]) == 2
    assert "got log = 'sqlite'" in capsys.readouterr().err


@pytest.mark.parametrize("table", ["kafka", "ingest"])
@pytest.mark.parametrize(
    "name",
    [  # all that librdkafka marks as sensitive, and what others call a login
        "sasl.password",
        "ssl.key.password",
        "ssl.key.pem",
        "ssl.keystore.password",
        "sasl.oauthbearer.config",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.client.credentials.client.secret",
        "sasl.oauthbearer.assertion.private.key.passphrase",
        "sasl.oauthbearer.assertion.private.key.pem",
        "sasl.jaas.config",
    ],
)
def test_a_secret_in_the_settings_is_refused_and_not_repeated(table, name):
    with pytest.raises(ValueError, match=rf"{name} must name a variable.* {table}\.") as error:
        settings_from({table: {"options": {name: "hush"}}})
    assert "hush" not in str(error.value)
    named = settings_from({table: {"options": {name: "env:SECRET"}}})
    assert getattr(named, table).options


@pytest.mark.parametrize("name", ["ssl.ca.pem", "ssl.certificate.pem", "ssl.key.location"])
def test_what_anybody_may_know_can_be_in_the_settings(name):
    assert settings_from({"kafka": {"options": {name: "/etc/ssl/ours"}}}).kafka.options


@pytest.mark.parametrize(
    "topic", [*sorted(set(ALL_TOPICS) - {"predictions", "metrics", "alerts"}), "prediction"]
)
def test_what_is_read_again_has_no_retention(topic):
    with pytest.raises(ValueError, match=rf"for predictions, metrics, alerts; got '{topic}', "):
        settings_from({"kafka": {"retention": {topic: "30d"}}})


def test_a_retention_covers_what_a_killed_run_makes_again():
    kept = {"predictions": "30d", "alerts": "100s"}
    settings = settings_from({"kafka": {"retention": kept}})
    assert changed(settings, {"follow": True}).kafka == settings.kafka
    with pytest.raises(
        ValueError, match=r"at least 20 times checkpoints\.every, 6s; got 100s in k"
    ):
        changed(settings, {"checkpoints": {"every": "6s"}})
    with pytest.raises(ValueError, match=r"kafka\.retention"):
        settings_from({"kafka": {"retention": {"alerts": "0s"}}})


def test_a_password_comes_from_the_environment(broker, monkeypatch):
    document = {
        "bootstrap": broker.sasl,
        "options": {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN",
            "sasl.username": "ada",
            "sasl.password": "env:SECRET_OF_ADA",
        },
    }
    kafka = settings_from({"kafka": document}).kafka
    with pytest.raises(ConfigurationError, match=r"must have SECRET_OF_ADA; .*'sasl\.password'"):
        kafka_log(kafka)
    monkeypatch.setenv("SECRET_OF_ADA", "wrong")
    log = kafka_log(kafka)
    with pytest.raises(OSError, match="cannot log in"):
        log.partitions("t")
    log.close()


def test_an_option_that_is_not_the_users_is_a_setting_to_correct():
    kafka = settings_from({"kafka": {"options": {"acks": 1}}}).kafka
    with pytest.raises(ConfigurationError, match=r"leave \['acks'\] to Headwater"):
        kafka_log(kafka)


def test_a_missing_client_says_what_to_install():
    @needing_kafka()
    def connect():
        raise ModuleNotFoundError

    with pytest.raises(ConfigurationError, match=r"pip install 'headwater\[kafka\]'"):
        connect()
