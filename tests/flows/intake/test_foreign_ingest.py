"""Foreign topics of a real broker become events, each record once."""

import json
import signal
import subprocess
import time
import tomllib
import uuid
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from flows.__main__ import main
from flows.home.configuration import find_stream, load_settings
from flows.home.home import create_topics, environment_home
from flows.home.open_log import find_log, open_log
from flows.home.wall_clock import microseconds_now as now
from flows.intake.foreign_ingest import event_or_letter, mapper_of, size_of
from state.durations import Duration
from state.ingest.mapping import Foreign as ForeignRecord
from state.ingest.positions import IngestWriter, Sourced
from state.kafka.broker_clocks import BrokerClocks
from state.kafka.cluster import Cluster
from state.kafka.foreign_topics import ForeignTopics
from state.kafka.writer import FencedError
from state.log import EVENTS, MAX_VALUE_BYTES
from state.outputs.records import Alert, DeadLetter
from state.settings import settings_from
from tests.flow_processes import Group
from tests.kafka.broker import PASSWORD, USER
from tests.kafka.raw_producer import produce
from tests.kafka.schema_registry import registry as schema_registry

HOUR_MS, HOUR = 3_600_000, Duration.parse("1h")
MINUTE = Duration.parse("1m")
TRADES = """
event = "trade"
id = "field:no"
time = {from = "ts", unit = "ms"}
source = "header:host"
[ingest.topics.fields]
account = "who"
symbol = "what.code"
amount = "sum"
"""


class Foreign:
    """Topics that no Headwater made, and the settings to ingest them."""

    def __init__(self, root, broker):
        self.root, self.broker = root, broker
        self.name = f"crm.{uuid.uuid4().hex[:8]}"
        self._quiet = {"bootstrap.servers": broker.bootstrap, "log_level": 0}
        self.producer, self.admin = Producer(self._quiet), AdminClient(self._quiet)
        self.sent, self.undelivered = 0, []

    def topic(self, name="", partitions=2, **config):
        """Make one."""
        topic = self.name + name
        self.admin.create_topics([NewTopic(topic, partitions, 1, config=config)])[topic].result()
        return topic

    def configure(self, mappings, log="sqlite", more=""):
        """Write the settings; `mappings` by topic."""
        topics = "".join(
            f'\n[[ingest.topics]]\ntopic = "{topic}"\n{text}' for topic, text in mappings
        )
        (self.root / "headwater.toml").write_text(
            f'stream = "quotes"\nlog = "{log}"\npartitions = 3\n'
            '[training]\ntrainer = "external"\nwait = false\n'
            f'[kafka]\nbootstrap = "{self.broker.bootstrap}"\nprefix = "{self.name}."\n'
            f'[ingest]\nbootstrap = "{self.broker.bootstrap}"\n{more}{topics}'
        )

    def send(self, topic, count, *, host="one", ahead_ms=0, partitions=2, **fields):
        """Produce trades, by a clock that may be ahead; another partition each time."""
        for _ in range(count):
            now = round(time.time() * 1000) + ahead_ms
            trade = {"no": self.sent, "ts": now, "sum": "12.5", "who": 7}
            trade |= {"what": {"code": f"S{self.sent % 11}"}} | fields
            self.producer.produce(
                topic,
                json.dumps(trade),
                partition=self.sent % partitions,
                timestamp=now,
                headers={"host": host.encode()},
                on_delivery=lambda error, _: self.undelivered.append(error) if error else None,
            )
            self.sent += 1
            self.producer.poll(0)
        assert not self.producer.flush(30)
        assert not self.undelivered

    def delete_before(self, topic, offset):
        """Drop the head of both partitions."""
        places = [TopicPartition(topic, partition, offset) for partition in (0, 1)]
        for done in self.admin.delete_records(places).values():
            done.result()


@pytest.fixture
def foreign(tmp_path, monkeypatch, broker):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADWATER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HEADWATER_CONFIG", str(tmp_path / "headwater.toml"))
    return Foreign(tmp_path, broker)


def records(topic):
    """All that the log holds of a topic, by partition."""
    log = find_log(load_settings(), environment_home())
    most = {"max_records": 10**6, "max_bytes": 2**30}
    held = [log.read(topic, p, 0, **most) for p in range(log.partitions(topic))]
    log.close()
    return held


def events():
    return [json.loads(r.value) for part in records(EVENTS) for r in part]


def letters(**like):
    decoded = [
        msgspec.json.decode(r.value, type=DeadLetter) for p in records("dead_letters") for r in p
    ]
    return [one for one in decoded if all(getattr(one, k) == v for k, v in like.items())]


def test_headers_whose_names_are_no_text_stop_neither_their_records_nor_those_after_them(foreign):
    topic = foreign.topic("", 1)
    foreign.configure([(topic, TRADES.replace('"header:host"', '"const:shop"'))])
    for no in range(1000, 1005):
        foreign.send(topic, 50, partitions=1)  # Python calls what it calls often in another way
        trade = {"no": no, "ts": round(time.time() * 1000), "sum": "1", "who": 7}
        value = json.dumps(trade | {"what": {"code": "S"}}).encode()
        produce(foreign.broker.bootstrap, topic, value, {b"\xff": b"x", b"host": b"\xff"})
    assert main(["ingest"]) == 0
    sent = [*range(250), *range(1000, 1005)]
    assert sorted(int(event["id"]) for event in events()) == sent
    assert letters() == []


@pytest.mark.timeout(120)
@pytest.mark.parametrize("log", ["sqlite", "kafka"])
def test_every_record_becomes_one_event_or_one_letter_whatever_is_killed(foreign, log):
    topics = [foreign.topic(name) for name in (".a", ".b")]
    foreign.configure([(topic, TRADES) for topic in topics], log)
    if log == "kafka":
        assert main(["topics", "--apply"]) == 0
    for topic in topics:
        foreign.send(topic, 12_000)
        foreign.send(topic, 400, sum="much")
    seen, kills = 0, 0
    home = foreign.root / "home"
    (home).mkdir()
    (home / "headwater.toml").write_text((foreign.root / "headwater.toml").read_text())
    held = open_log(load_settings(), find_stream("quotes"), environment_home())
    for _ in range(3):
        group = Group(home, words=("-m", "bytewax.run", "flows.ingest"))
        while not group.ended():
            try:
                group.processes[0].wait(0.003)
            except subprocess.TimeoutExpired:
                there = sum(held.end(EVENTS, p) for p in range(3))
                if there > seen:
                    seen = there
                    group.signal(signal.SIGKILL)
        kills += group.wait(30) == [-signal.SIGKILL]
    held.close()
    assert main(["ingest"]) == 0
    assert kills >= 2
    found = Counter(event["id"] for event in events())
    assert found == {str(i): 1 for first in (0, 12_400) for i in range(first, first + 12_000)}
    bad = letters(reason="invalid")
    assert len({(one.topic, one.partition, one.offset) for one in bad}) == len(bad) == 800
    assert {one.topic for one in bad} == set(topics)
    assert b'"much"' in bad[0].raw
    assert "amount" in bad[0].detail


def test_a_backlog_of_labels_does_not_overtake_that_of_their_requests(foreign):
    quotes, filled = foreign.topic(".quotes", 1), foreign.topic(".filled", 1)
    own = 'id = "id"\ntime = "timestamp"\nevent = '
    foreign.configure([(filled, own + '"filled"\n'), (quotes, own + '"quote"\n')])
    signals = dict.fromkeys(
        ["spread", "depth", "imbalance", "momentum", "volatility", "size", "skew", "distance"], 0.5
    )
    start = round(time.time() * 1000) - 2 * HOUR_MS
    for i in range(3_000):
        at, key = start + i * 1000, {"symbol": f"S{i % 5}"}
        # Large, so that the labels are all there long before their requests.
        quote = {**signals, **key, "id": f"q{i}", "account": "a", "venue": "v", "pad": "x" * 15_000}
        quote["expires"] = (at + 60_000) * 1000
        told = {**key, "id": f"f{i}", "of": f"q{i}", "filled": 1}
        foreign.producer.produce(quotes, json.dumps(quote), timestamp=at)
        foreign.producer.produce(filled, json.dumps(told), timestamp=at + 30_000)
    foreign.producer.flush(30)
    assert main(["ingest"]) == 0
    assert letters() == []
    for part in records(EVENTS):
        asked = set()
        for record in part:
            event = json.loads(record.value)
            assert event["type"] == "quote" or event["of"] in asked
            asked.add(event["id"])
            assert record.append_time == event["time"]
    assert len(events()) == 6_000


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "config",
    [
        {"message.timestamp.type": "LogAppendTime"},
        # Else Kafka 4 itself refuses what is more than an hour ahead.
        {"message.timestamp.type": "CreateTime", "message.timestamp.after.max.ms": str(2**62)},
    ],
    ids=lambda config: config["message.timestamp.type"],
)
def test_a_producer_three_hours_ahead_that_starts_mid_stream_harms_nobody(
    foreign, capsys, config, monkeypatch
):
    topic = foreign.topic(**config)
    foreign.configure([(topic, TRADES)])
    foreign.send(topic, 300)
    for _ in range(20):
        foreign.send(topic, 5, host="two", ahead_ms=3 * HOUR_MS)
        foreign.send(topic, 10)
    assert main(["ingest"]) == 0
    foreign.send(topic, 100)
    assert main(["ingest"]) == 0
    assert main(["run"]) == 0
    assert Counter(one.reason for one in letters()) == {"clock_skew": 100}
    skewed = [json.loads(one.raw)["source"] for one in letters()]
    assert set(skewed) == {"two"}
    alerts = [
        msgspec.json.decode(r.value, type=Alert) for part in records("alerts")[:3] for r in part
    ]
    assert {(alert.kind, alert.source) for alert in alerts} == {("clock_ahead", "two")}
    capsys.readouterr()
    assert main(["clocks"]) == 0
    _, two, one, newest, *brokers = capsys.readouterr().out.splitlines()
    assert two.split()[:2] == ["two", "100"]
    assert two.split()[-1] == "100"
    ahead_s = float(two.split()[6].replace(",", ""))
    assert ahead_s == pytest.approx(3 * 3600, abs=60)
    assert one.split()[:2] == ["one", "600"]
    assert one.split()[-2:] == ["ok", "0"]
    assert newest.endswith(" s before this machine's time.")
    stamped = config["message.timestamp.type"] == "LogAppendTime"
    assert len(brokers) == stamped
    monkeypatch.setattr("flows.commands.clocks.microseconds_now", lambda: now() - 3 * HOUR)
    assert main(["clocks"]) == 0
    said = capsys.readouterr().out
    of = f"clock of Kafka's broker {foreign.broker.bootstrap} must be within 5m of this machine's"
    assert (of in said) == stamped


def test_what_was_refused_is_mapped_again_once_the_mapping_is_mended(foreign, capsys):
    topic = foreign.topic()
    foreign.configure([(topic, TRADES.replace('"sum"', '"total"'))])
    foreign.send(topic, 20)
    foreign.send(topic, 3, sum="much")
    assert main(["ingest"]) == 0
    assert len(letters(reason="invalid")) == 23
    foreign.configure([(topic, TRADES)])
    capsys.readouterr()
    assert main(["dead-letters", "--again"]) == 0
    assert "23 retried: 20 appended to events, 3 refused again" in capsys.readouterr().out
    assert main(["dead-letters", "--again", "--reason", "malformed"]) == 0
    assert main(["dead-letters", "--json"]) == 0
    first, _, listed = capsys.readouterr().out.partition("\n")
    assert first.startswith("0 retried")
    (count,) = json.loads(listed)["counts"]
    assert count == {"reason": "invalid", "topic": topic, "letters": 26, "open": 3}
    assert sorted(int(event["id"]) for event in events()) == list(range(20))
    foreign.send(topic, 2)
    assert main(["ingest"]) == 0
    assert len(events()) == 22


def became(value, key=b"", **headers):
    """The event or dead letter made from one record of trades."""
    document = f'stream = "quotes"\n[[ingest.topics]]\ntopic = "t"\n{TRADES}'
    settings = settings_from(tomllib.loads(document))
    mapper = mapper_of(settings, find_stream("quotes"))
    return event_or_letter(mapper, ForeignRecord("t", 0, 0, 0, key, headers, value))


@pytest.mark.parametrize("big", ["key", "header", "value", "names"])
def test_a_letter_of_any_record_fits_into_the_log(big):
    large = bytes(20 * 2**20)
    headers = {"host": b"one", "large": large * (big == "header")}
    if big == "names":
        headers |= {"\x01" * 2**21 + str(n): b"" for n in range(4)}
    letter = became(large * (big == "value"), large * (big == "key"), **headers)
    assert isinstance(letter, DeadLetter)
    assert len(msgspec.json.encode(letter)) < MAX_VALUE_BYTES
    assert letter.headers.get("host") == (None if big == "key" else b"one")
    big_bytes = 4 * (2**21 + 1) if big == "names" else len(large)
    assert letter.size == big_bytes + len("host" + "one" + "large")
    assert size_of(letter.raw, letter.key, letter.headers) < letter.size


def test_an_event_whose_key_is_too_long_is_a_letter(monkeypatch):
    monkeypatch.setattr(
        "flows.intake.foreign_ingest._KEY_BYTES", 3
    )  # these streams refuse long ones themselves
    trade = {"no": 1, "ts": 1_767_225_600_000, "sum": "12.5", "who": 7, "what": {"code": "S"}}
    assert isinstance(became(json.dumps(trade).encode(), host=b"one"), tuple)
    letter = became(json.dumps(trade | {"what": {"code": "FOUR"}}).encode(), host=b"one")
    assert letter.reason == "invalid"
    assert letter.detail == "key must be at most 3 bytes; got 4"


@pytest.mark.timeout(60)
def test_topics_are_read_without_leave_for_a_group(foreign, broker):
    topic = foreign.topic(partitions=1)
    acl = AclBinding(
        ResourceType.TOPIC,
        topic,
        ResourcePatternType.LITERAL,
        f"User:{USER}",
        "*",
        AclOperation.READ,
        AclPermissionType.ALLOW,
    )
    foreign.admin.create_acls([acl])[acl].result()
    foreign.send(topic, 20, partitions=1)
    password = {"sasl.username": USER, "sasl.password": PASSWORD}
    options = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", **password}
    cluster = Cluster(broker.sasl, options)
    clocks = BrokerClocks(MINUTE, MINUTE, print)
    topics = ForeignTopics(cluster, [topic], lambda _: 0, now, clocks, skip_lost=False)
    arrived = 0
    while arrived < 20 or "Group" not in cluster.last_error():
        arrived += len(topics.read())
    topics.close()
    assert arrived == 20


@pytest.mark.parametrize(
    "words", [("-m", "flows", "ingest"), ("-m", "bytewax.run", "flows.ingest")]
)
def test_a_wrong_mapping_is_one_line(tmp_path, words):
    wrong = TRADES.replace("amount", "amuont")
    (tmp_path / "headwater.toml").write_text(
        f'stream = "quotes"\n[[ingest.topics]]\ntopic = "t"\n{wrong}'
    )
    group = Group(tmp_path, words=words)
    assert group.wait(60) == [2]
    (line,) = group.output().splitlines()
    assert "got 'amuont' in ingest.topics[0].fields" in line


def test_no_mapping_and_a_missing_topic_are_told(foreign, capsys):
    foreign.configure([])
    assert main(["ingest"]) == 2
    assert "or foreign topics in ingest.topics; got neither" in capsys.readouterr().err
    foreign.configure([(foreign.name, TRADES)])
    assert main(["ingest"]) == 2
    assert f"got '{foreign.name}'" in capsys.readouterr().err


def test_records_that_a_topic_dropped_unread_are_told_and_can_be_passed_over(foreign, capsys):
    topic = foreign.topic()
    foreign.configure([(topic, TRADES)])
    foreign.send(topic, 20)
    assert main(["ingest"]) == 0
    foreign.send(topic, 40)
    foreign.delete_before(topic, 15)
    assert main(["ingest"]) == 2
    said = capsys.readouterr().err
    assert f"must still hold offset 10; got 15 as its first in {topic}/0" in said
    foreign.configure([(topic, TRADES)], more="skip_lost = true\n")
    assert main(["ingest"]) == 0
    assert len(events()) == 50


def test_of_two_ingests_into_kafka_the_older_is_fenced_off(foreign):
    foreign.configure([], "kafka")
    settings, stream = load_settings(), find_stream("quotes")
    older = find_log(settings, environment_home())
    create_topics(older, 3)
    newer = open_log(settings, stream, environment_home())
    one = IngestWriter(older, "m")
    batch = [Sourced("t/0", i, i, (b"k", b"%d" % i)) for i in range(6)]
    one.append(batch[:2])
    other = IngestWriter(newer, "m")
    other.append(batch[2:4])
    with pytest.raises(FencedError, match="must be the only one"):
        one.append(batch[4:])
    other.append(batch[4:])
    assert [r.value for part in records(EVENTS) for r in part] == [b"%d" % i for i in range(6)]
    for log in (older, newer):
        log.close()


SOLD = json.dumps({
    "type": "record",
    "name": "Sold",
    "fields": [
        {"name": "no", "type": "int"},
        {"name": "ts", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "who", "type": "long"},
        {"name": "what", "type": {"type": "record", "name": "What",
                                  "fields": [{"name": "code", "type": "string"}]}},
        {"name": "sum", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9,
                                 "scale": 2}},
    ],
})  # fmt: skip


def test_avro_comes_through_a_registry_and_waits_for_one_that_is_down(foreign, capsys):
    topic = foreign.topic("", 1)
    with schema_registry() as registry:
        serialize = AvroSerializer(SchemaRegistryClient({"url": registry.url}), SOLD)
        mapping = TRADES.replace('{from = "ts", unit = "ms"}', '"ts"').replace(
            "header:host", "const:x"
        )
        foreign.configure([(topic, f'format = "avro"\n{mapping}')])
        settings = foreign.root / "headwater.toml"
        address = f'[kafka]\nschema_registry = "{registry.url}"\npatience = "1s"\n'
        settings.write_text(settings.read_text().replace("[kafka]\n", address))
        for no in range(20):
            sold = {"no": no, "ts": datetime.now(UTC), "who": 7, "what": {"code": "S"}}
            context = SerializationContext(topic, MessageField.VALUE)
            foreign.producer.produce(topic, serialize(sold | {"sum": Decimal("12.50")}, context))
        foreign.producer.produce(topic, b"no avro")
        foreign.producer.produce(topic, b"\0\0\0\0\x63" + b"x" * 20)
        assert not foreign.producer.flush(30)
        registry.status = 503
        assert main(["ingest"]) == 2
        assert "schema registry must answer within 1 s" in capsys.readouterr().err
        registry.status = 200
        assert main(["ingest"]) == 0
        assert sorted(int(event["id"]) for event in events()) == [*range(20)]
        assert {event["amount"] for event in events()} == {12.5}
        assert [one.raw[:1] for one in letters(reason="malformed")] == [b"n", b"\0"]
        # The missing schema comes after all: what waited for it is mapped anew.
        registry.schemas += registry.schemas[:1] * 98
        foreign.producer.produce(topic, b"no avro")
        asked = len(registry.asked)
        assert main(["run"]) == 0
        assert len(registry.asked) == asked
        assert main(["dead-letters", "--again"]) == 0
        assert len(registry.asked) > asked
