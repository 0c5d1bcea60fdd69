"""Two Kafkas and MirrorMaker 2 between them: events go out, models come home and predict there."""

import random
import time
import tomllib
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from flows.__main__ import main
from flows.home.kafka import kafka_log
from flows.scorer import Scorer
from flows.streams.quotes_market import Market
from models.refit.fit_record import FitRecord
from operators.training.model_registry import ModelRegistry
from state.kafka.log import KafkaLog
from state.outputs.records import Prediction
from state.settings import settings_from
from state.storage.artifact_chunks import ArtifactChunks
from state.storage.artifact_store import ArtifactStore
from tests.flow_processes import Group
from tests.kafka.broker import PASSWORD, USER, Broker, free_ports
from tests.kafka.mirror import FOLDER, MirrorMaker

LITERAL, ALLOW = ResourcePatternType.LITERAL, AclPermissionType.ALLOW
PARTITIONS = (0, 1)
OURS = (
    ("replication = 3", "replication = 1"),
    ("follow = true", "follow = false"),
    ('stream = "quotes"\n', 'stream = "quotes"\npartitions = 2\n'),
    ("[training]\n", '[training]\nevery = "1h"\nvalidation = "20m"\nmin_rows = 300\n'),
)
LOGIN = (
    "org.apache.kafka.common.security.plain.PlainLoginModule required "
    f'username="{USER}" password="{PASSWORD}";'
)


class Side(NamedTuple):
    """One end of the mirror."""

    root: Path
    log: KafkaLog

    def records(self, topic, partition=0):
        return self.log.read(topic, partition, 0, max_records=10**6, max_bytes=2**30)

    def artifacts(self):
        return {path.name for path in (self.root / "artifacts").iterdir()}


@pytest.fixture(scope="module")
def cloud_broker(broker, tmp_path_factory):
    one = Broker(tmp_path_factory.mktemp("cloud_broker"), free_ports(3))
    one.start()
    yield one
    one.kill()


@pytest.fixture
def prefix():
    return f"{uuid.uuid4().hex[:8]}."


@pytest.fixture
def sides(tmp_path, prefix, broker, cloud_broker):
    """Premises and cloud, with the settings that users take."""
    made = []
    for name, at in (("premises", broker), ("cloud", cloud_broker)):
        text = (FOLDER / f"{name}.toml").read_text()
        kafka = tomllib.loads(text)["kafka"]
        for old, new in (*OURS, (kafka["bootstrap"], at.bootstrap), (kafka["prefix"], prefix)):
            assert old in text
            text = text.replace(old, new)
        text += '[h2o]\nmemory = "512m"\n'
        root = tmp_path / name
        root.mkdir()
        (root / "headwater.toml").write_text(text)
        made.append(Side(root, kafka_log(settings_from(tomllib.loads(text)).kafka)))
    yield made
    for one in made:
        one.log.close()


@contextmanager
def let_in(broker):
    """Let the user with the password do what MirrorMaker does; other tests refuse it."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    kinds = [ResourceType.TOPIC, ResourceType.GROUP, ResourceType.TRANSACTIONAL_ID]
    acls = [
        AclBinding(kind, name, LITERAL, f"User:{USER}", "*", AclOperation.ALL, ALLOW)
        for kind, name in [*((kind, "*") for kind in kinds), (ResourceType.BROKER, "kafka-cluster")]
    ]
    for made in admin.create_acls(acls).values():
        made.result()
    yield
    its_own = AclBindingFilter(
        ResourceType.ANY,
        None,
        ResourcePatternType.ANY,
        f"User:{USER}",
        None,
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
    for deleted in admin.delete_acls([its_own]).values():
        deleted.result()


@pytest.fixture
def mirror(tmp_path, prefix, broker, cloud_broker):
    """A MirrorMaker that logs in to both."""
    environment = {}
    for name, one in (("PREMISES", broker), ("CLOUD", cloud_broker)):
        environment |= {
            f"{name}_BOOTSTRAP": one.sasl,
            f"{name}_PROTOCOL": "SASL_PLAINTEXT",
            f"{name}_MECHANISM": "PLAIN",
            f"{name}_JAAS": LOGIN,
        }
    made = MirrorMaker(tmp_path / "mirror", prefix, environment)
    with let_in(broker), let_in(cloud_broker):
        yield made
        made.kill()


@pytest.fixture
def headwater(monkeypatch):
    """Runs a verb at one end; the exit code."""

    def run(side, *words):
        monkeypatch.setenv("HEADWATER_HOME", str(side.root))
        monkeypatch.setenv("HEADWATER_CONFIG", str(side.root / "headwater.toml"))
        return main(list(words))

    return run


@pytest.fixture
def group():
    """Starts processes that end with the test."""
    started = []

    def start(side, *words):
        started.append(Group(side.root, words=words))
        return started[-1]

    yield start
    for process in [process for one in started for process in one.processes]:
        process.kill()
        process.wait()


def until(condition, mirror):
    """Return once something is so; a test that waits in vain shows what MirrorMaker says."""
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.1)
    pytest.fail(mirror.said())


@pytest.mark.timeout(600)
def test_models_trained_in_the_cloud_predict_the_same_on_the_premises(
    sides, mirror, headwater, group, tmp_path
):
    premises, cloud = sides
    settings = premises.root / "headwater.toml"
    settings.write_text(settings.read_text().replace("wait = false", "wait = true"))
    for one in sides:
        assert headwater(one, "topics", "--apply") == 0
    events = list(Market(seed=3, rate_per_s=1.2).events(1.6))
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(events))
    assert headwater(premises, "ingest", str(tmp_path / "events.jsonl")) == 0

    mirror.start()
    until(lambda: any(cloud.log.end("events", p) for p in PARTITIONS), mirror)
    mirror.kill()
    mirror.start()
    trainer = group(cloud, "-m", "bytewax.run", "flows.train")
    until(
        lambda: all(s.log.end("events", p) == e for p, e in ends(premises) for s in sides), mirror
    )
    flows = [group(side, "-m", "flows", "run") for side in (cloud, premises)]
    assert [flow.wait(400) for flow in flows] == [[0], [0]], [flow.output() for flow in flows]
    assert "Waiting for the fit at 2024-01-01" in flows[1].output()
    assert not trainer.ended(), trainer.output()
    assert PASSWORD not in mirror.said()

    for topic in ("events", "predictions", "outcomes"):
        for p in PARTITIONS:
            assert premises.records(topic, p) == cloud.records(topic, p)
    assert premises.records("models") == cloud.records("models")
    champion = ModelRegistry(cloud.log).newest_model()
    (last,) = premises.log.read("predictions", 0, premises.log.end("predictions", 0) - 1)
    assert msgspec.json.decode(last.value, type=Prediction).model == champion
    assert premises.artifacts()
    assert premises.artifacts() <= cloud.artifacts()
    with Scorer.open(premises.root / "headwater.toml", home=premises.root, follow=False) as scorer:
        scorer.advance()
        request = next(e for e in map(msgspec.json.decode, reversed(events)) if "size" in e)
        answer = scorer.score({**request, "id": "new"})
    assert answer.model == champion
    assert answer.offline is not None


def test_the_premises_go_on_without_the_cloud(sides, headwater, tmp_path):
    premises, _ = sides
    assert headwater(premises, "topics", "--apply") == 0
    events = list(Market(seed=3, rate_per_s=0.3).events(2.5))  # over two boundaries
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(events))
    assert headwater(premises, "ingest", str(tmp_path / "events.jsonl")) == 0
    assert headwater(premises, "run") == 0
    asked = sum(msgspec.json.decode(event)["type"] == "quote" for event in events)
    assert sum(premises.log.end("predictions", p) for p in PARTITIONS) == asked
    assert sum(premises.log.end("snapshots", p) for p in PARTITIONS) >= 2 * len(PARTITIONS)


def ends(side):
    return [(p, side.log.end("events", p)) for p in PARTITIONS]


def test_a_flow_whose_mirror_is_not_there_yet_says_so_and_fills_in_nothing(
    sides, headwater, capsys
):
    _, cloud = sides
    assert headwater(cloud, "run") == 2
    assert "make it with `headwater topics --apply`" in capsys.readouterr().err
    assert headwater(cloud, "topics", "--apply") == 0
    assert headwater(cloud, "run") == 0
    assert "The log is empty" in capsys.readouterr().err
    assert ends(cloud) == [(0, 0), (1, 0)]


def test_a_model_of_many_megabytes_goes_through_a_broker_with_its_default_limits(
    sides, prefix, broker, tmp_path
):
    premises, _ = sides
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_topics([NewTopic(f"{prefix}models", 1, 1)])[f"{prefix}models"].result()
    trees = random.Random(1).randbytes(20 * 2**20)
    far = ArtifactStore(tmp_path / "far")
    record = FitRecord(
        boundary=7, status="promoted", reason="it was", algorithm="gbm", sha256=far.put(trees)
    )
    ModelRegistry(premises.log, far).publish(record)
    assert ModelRegistry(premises.log).records() == [record]
    here = ArtifactStore(tmp_path / "here", [ArtifactChunks(premises.log)])
    assert here.get(record.sha256) == trees
