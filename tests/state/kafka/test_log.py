import threading
import time
import uuid

import msgspec
import pytest
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from state.kafka.cluster import Cluster
from state.kafka.log import KafkaLog
from state.kafka.records import header_of
from state.kafka.topic_plan import TopicPlan
from state.kafka.topics import Topics
from state.kafka.writer import FencedError, ForgottenError, Part, Writer
from state.log import (
    Entry,
    LogError,
    OffsetError,
    Record,
    SequenceConflictError,
)
from tests.kafka.broker import PASSWORD, USER
from tests.state.log_contract import LogContract, TrimContract, entries, read_all, values

QUIET = {"log_level": 0}


@pytest.fixture
def prefix():
    return f"{uuid.uuid4().hex[:8]}-"


class TestKafkaLog(LogContract, TrimContract):
    @pytest.fixture
    def opening(self, broker, prefix):
        return f"""
from state.kafka.cluster import Cluster
from state.kafka.topic_plan import TopicPlan
from state.kafka.log import KafkaLog
cluster = Cluster({broker.bootstrap!r}, {{}})
log = KafkaLog(cluster, prefix={prefix!r}, writer="me", role_of=lambda *_: "shard")
"""


class TestKafkaLogInMessagePack(LogContract, TrimContract):
    @pytest.fixture
    def opening(self, broker, prefix):
        return f"""
from state.kafka.cluster import Cluster
from state.kafka.topic_plan import TopicPlan
from state.kafka.log import KafkaLog
cluster = Cluster({broker.bootstrap!r}, {{}})
role = {{"role_of": lambda *_: "shard"}}
log = KafkaLog(cluster, prefix={prefix!r}, writer="me", msgpack=True, **role)
"""


@pytest.fixture
def opened(broker, prefix):
    """Opens the log of this test as another process would."""
    logs = []

    def open_as(writer, **more):
        cluster = Cluster(broker.bootstrap, {})
        role = {"role_of": lambda *_: "shard"}
        logs.append(KafkaLog(cluster, prefix=prefix, writer=writer, **role, **more))
        return logs[-1]

    yield open_as
    for log in logs:
        log.close()


@pytest.fixture
def log(opened):
    log = opened("one")
    log.create("t", 1)
    return log


@pytest.fixture
def raw(broker):
    """Makes producers that know nothing of Headwater."""

    def produce(topic, headers, *, times=1, **options):
        producer = Producer({**QUIET, "bootstrap.servers": broker.bootstrap, **options})
        if "transactional.id" in options:
            producer.init_transactions()
            producer.begin_transaction()
        for header in headers * times:
            producer.produce(topic, b"raw", b"k", 0, headers=header)
        producer.flush()
        return producer

    return produce


def test_a_second_writer_fences_off_the_first_which_names_it_and_stays_stopped(opened, log):
    log.append("t", 0, entries(b"a"))
    two = opened("two")
    assert two.append("t", 0, entries(b"b"), sequence=1) == 2
    for _ in range(2):
        with pytest.raises(
            FencedError, match=r"fenced off by two, which is running: this one \(one\) has stopped"
        ):
            log.append("t", 0, entries(b"z"), sequence=1)
        assert two.append("t", 0, entries(b"c"), sequence=2) == 3
    assert values(log.read("t", 0, 0)) == [b"a", b"b", b"c"]


def test_a_second_writer_that_only_repeated_what_was_there_fences_too(opened):
    log = opened("one", named_within_s=0)
    log.create("t", 1)
    log.append("t", 0, entries(b"a"), sequence=0)
    assert opened("two").append("t", 0, entries(b"a"), sequence=0) == 1
    with pytest.raises(FencedError, match="a writer that has not written yet"):
        log.append("t", 0, entries(b"b"), sequence=1)
    assert log.end("t", 0) == 1


def test_the_name_of_a_writer_of_before_is_not_taken_for_the_one_that_took_over(opened, log):
    log.append("t", 0, entries(b"a"), sequence=0)
    late = opened("two", named_within_s=0)
    assert late.append("t", 0, entries(b"a"), sequence=0) == 1
    opened("three").append("t", 0, entries(b"a"), sequence=0)
    with pytest.raises(FencedError, match="a writer that has not written yet"):
        late.append("t", 0, entries(b"b"), sequence=1)


def test_a_writer_that_was_fenced_off_waits_until_the_other_writes_its_name(opened, log):
    log.append("t", 0, entries(b"a"), sequence=0)
    two = opened("two")
    two.append("t", 0, entries(b"a"), sequence=0)
    errors = []

    def write():
        with pytest.raises(FencedError) as error:
            log.append("t", 0, entries(b"z"), sequence=1)
        errors.append(str(error.value))

    fenced = threading.Thread(target=write)
    fenced.start()
    fenced.join(0.5)
    assert fenced.is_alive()
    two.append("t", 0, entries(b"b"), sequence=1)
    fenced.join()
    assert "fenced off by two, which is running" in errors[0]


def test_two_roles_in_a_partition_do_not_fence_each_other(broker, prefix):
    def open_as(writer):
        return KafkaLog(Cluster(broker.bootstrap, {}), prefix=prefix, writer=writer)

    one, two = open_as("one"), open_as("two")
    for topic in ("t", "u"):
        one.create(topic, 1)
    for _ in range(2):
        one.append("t", 0, entries(b"a"))
        two.append("u", 0, entries(b"b"))
    while one.end("u", 0) < 2 or two.end("t", 0) < 2:
        pass  # another's append is durable a little before it can be read
    one.close()
    two.close()


def test_a_writer_that_kafka_forgot_is_made_anew_and_goes_on(broker, opened, log, prefix):
    forgotten = KafkaError(KafkaError.INVALID_PRODUCER_ID_MAPPING)
    cluster = Cluster(broker.bootstrap, {})
    writer = Writer(cluster, f"{prefix}headwater-shard-0", 0, "one", lambda *_: "")
    writer.broken_by(forgotten, Part(f"{prefix}t", 0, ()))
    with pytest.raises(ForgottenError, match="must be known to Kafka"):
        writer.commit([Part(f"{prefix}t", 0, entries(b"z"))])
    log._writers["shard", 0] = writer
    opened("two").append("t", 0, entries(b"a"), sequence=0)
    assert log.append("t", 0, entries(b"a", b"b"), sequence=0) == 2
    assert values(log.read("t", 0, 0)) == [b"a", b"b"]


@pytest.mark.parametrize(
    "code",
    [KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH],
)
@pytest.mark.parametrize(
    ("successor", "told"),
    [
        ("two", "fenced off by two, which is running: this one"),
        ("", "by a writer that has not written yet, or by Kafka after too long a transaction: "),
    ],
)
def test_who_fenced_a_writer_off_is_told_as_far_as_it_is_known(
    broker, prefix, code, successor, told
):
    writer = Writer(Cluster(broker.bootstrap, {}), f"{prefix}w", 0, "one", lambda *_: successor)
    error = writer.broken_by(KafkaError(code), Part(f"{prefix}t", 0, ()))
    assert isinstance(error, FencedError)
    assert told in str(error)


@pytest.mark.timeout(120)
def test_a_transaction_that_took_too_long_is_told_as_such(broker, prefix, log):
    cluster = Cluster(broker.bootstrap, {"transaction.timeout.ms": 1000})
    slow = Writer(cluster, f"{prefix}slow", 0, "one", lambda *_: "")
    slow._producer.begin_transaction()
    slow._produce(Part(f"{prefix}t", 0, entries(b"a")))
    slow._producer.flush()
    reader = Cluster(broker.bootstrap, {}).consumer({})
    place = TopicPartition(f"{prefix}t", 0)
    while reader.get_watermark_offsets(place)[1] == 0:
        pass  # Kafka looks for such transactions every ten seconds, and ends them
    reader.close()
    with pytest.raises(KafkaException) as error:
        slow._producer.commit_transaction()
    told = slow.broken_by(error.value.args[0], Part(f"{prefix}t", 0, ()))
    assert "or by Kafka after too long a transaction" in str(told)


def test_several_topics_are_appended_together_or_not_at_all(log):
    log.create("u", 1)
    log.append("t", 0, entries(b"a"))
    parts = {"t": (1, entries(b"b", at=9)), "u": (None, entries(b"c", b"d"))}
    assert log.append_all(0, parts) == {"t": 2, "u": 2}
    with pytest.raises(SequenceConflictError, match="got b'X' in u/0 at sequence 1"):
        log.append_all(0, {"t": (2, entries(b"e")), "u": (1, entries(b"X"))})
    assert [values(read_all(log, topic)) for topic in ("t", "u")] == [[b"a", b"b"], [b"c", b"d"]]


def test_the_form_can_change_at_any_time_and_nobody_who_reads_the_log_sees_it(
    broker, opened, log, prefix
):
    compact, spaced, other = b'{"id":"a","size":[1,2.5,null]}', b'{"id": "b"}', b"no JSON"
    log.append("t", 0, entries(compact, spaced, other))
    two = opened("two", msgpack=True)
    assert two.append("t", 0, entries(other, compact, spaced, other), sequence=2) == 6
    with pytest.raises(SequenceConflictError, match=r"stored b'.*2\.5,null.*got b'.*2\.5,nul\]"):
        two.append("t", 0, entries(b'{"id":"a","size":[1,2.5,nul]}'), sequence=3)
    three = opened("three")
    assert three.append("t", 0, entries(compact, spaced, other, compact), sequence=3) == 7
    stored = [*[compact, spaced, other] * 2, compact]
    for reader in (two, three):
        assert values(read_all(reader, "t")) == stored
        assert [values(reader.read("t", 0, i, max_records=1))[0] for i in range(7)] == stored
    consumer = Cluster(broker.bootstrap, {}).consumer({})
    consumer.assign([TopicPartition(f"{prefix}t", 0, 0)])
    lies = []
    while len(lies) < 7:
        lies += [m.value() for m in consumer.consume(10, 1) if m.error() is None]
    consumer.close()
    packed = msgspec.msgpack.encode({"id": "a", "size": [1, 2.5, None]})
    assert lies == [compact, spaced, other, packed, spaced, other, compact]


def test_what_was_aborted_is_never_seen_and_the_numbers_go_on(log, prefix, raw):
    log.append("t", 0, entries(b"a"))
    headers = [header_of(sequence, 0, b"") for sequence in range(1, 301)]
    raw(f"{prefix}t", headers, **{"transactional.id": "x"}).abort_transaction()
    assert (log.end("t", 0), values(log.read("t", 0, 0))) == (1, [b"a"])
    assert log.append("t", 0, entries(b"b"), sequence=1) == 2
    assert values(read_all(log, "t")) == [b"a", b"b"]


def test_a_transaction_left_open_is_not_seen_and_the_next_writer_aborts_it(
    log, opened, prefix, raw
):
    log.append("t", 0, entries(b"a"))
    left = raw(
        f"{prefix}t", [header_of(1, 0, b"")], **{"transactional.id": f"{prefix}headwater-shard-0"}
    )
    other = opened("two")
    assert (other.end("t", 0), values(other.read("t", 0, 0))) == (1, [b"a"])
    assert other.append("t", 0, entries(b"b"), sequence=1) == 2
    assert values(read_all(other, "t")) == [b"a", b"b"]
    del left


def test_a_copy_with_other_offsets_and_doubled_records_reads_the_same(log, prefix, raw):
    doubled = [*range(1000, 1500), *range(1490, 2500)]
    raw(f"{prefix}t", [header_of(sequence, 7, b"") for sequence in doubled])
    assert (log.start("t", 0), log.end("t", 0)) == (1000, 2500)
    for offset in (1000, 1495, 1500, 2499):
        assert log.read("t", 0, offset, max_records=2)[0] == Record(offset, 7, b"k", b"raw")
    whole = []
    while batch := log.read("t", 0, 1000 + len(whole)):
        whole += (record.offset for record in batch)
    assert whole == list(range(1000, 2500))
    assert log.append("t", 0, entries(b"new"), sequence=2500) == 2501


def test_each_record_is_found_whatever_lies_before_it(log):
    ends = [log.append("t", 0, entries(*[b"%d" % i] * (i % 7 + 1))) for i in range(60)]
    stored = read_all(log, "t")
    assert [record.offset for record in stored] == list(range(ends[-1]))
    for offset in range(0, ends[-1], 17):
        assert log.read("t", 0, offset, max_records=1) == [stored[offset]]
        assert log.read("t", 0, offset, max_records=3) == stored[offset : offset + 3]


def test_the_first_look_at_a_topic_does_not_wait_for_librdkafkas_timer(log, opened):
    topics = [f"t{i}" for i in range(10)]
    for topic in topics:
        log.create(topic, 1)
        log.append(topic, 0, entries(b"a"))
    reader = opened("two")
    began = time.perf_counter()
    assert [reader.end(topic, 0) for topic in topics] == [1] * 10
    assert time.perf_counter() - began < 5  # the timer is of a second


def test_another_programs_record_is_an_error_and_not_skipped(log, prefix, raw):
    log.append("t", 0, entries(b"a"))
    raw(f"{prefix}t", [[("other", b"1")]])
    with pytest.raises(LogError, match=r"header 'headwater'; got one without in .* offset 2"):
        read_all(log, "t")


def test_a_gap_in_the_sequences_is_an_error_and_not_skipped(log, prefix, raw):
    log.append("t", 0, entries(b"a"))
    raw(f"{prefix}t", [header_of(3, 0, b"")])
    with pytest.raises(LogError, match=r"no gap; got 3 after 0 in .*-t/0 at Kafka's offset 2"):
        read_all(log, "t")


def test_history_that_goes_while_it_is_read_is_an_error_and_not_a_skip(log, opened):
    for _ in range(3):
        log.append("t", 0, [Entry(0, b"", bytes(2**20))] * 15)
    log.append("t", 0, entries(b"last"))
    reader = opened("two")
    read = reader.read("t", 0, 0, max_records=2)
    log.trim("t", 0, 45)

    def read_on():
        while read:
            read.extend(reader.read("t", 0, len(read), max_records=2))

    with pytest.raises(OffsetError, match="was it cut"):
        read_on()


def test_a_log_that_got_shorter_is_an_error(log, broker, opened, prefix):
    log.append("t", 0, entries(b"a", b"b"))
    other = opened("two")
    admin = AdminClient({**QUIET, "bootstrap.servers": broker.bootstrap})
    admin.delete_topics([f"{prefix}t"])[f"{prefix}t"].result()
    other.create("t", 1)
    with pytest.raises(OffsetError, match="ends at offset 0, asked for 2: was it truncated"):
        other.read("t", 0, 2)


@pytest.mark.timeout(120)
def test_a_broker_that_is_killed_amid_appends_costs_nothing_but_time(log, broker, opened):
    batches = 40
    wanted = [b"%d" % i + bytes(500) for i in range(batches * 500)]
    halfway, failures = threading.Event(), []

    def write():
        try:
            for first in range(0, len(wanted), 500):
                log.append("t", 0, entries(*wanted[first : first + 500]), sequence=first)
                if first == len(wanted) // 4:
                    halfway.set()
        except LogError as error:
            failures.append(error)
            halfway.set()

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    halfway.wait()
    broker.kill()
    broker.start()
    writer.join()
    assert not failures
    assert values(read_all(opened("two"), "t")) == wanted


KEPT_S = 1.0


def until_it_starts_at(log, offset, append):
    """Append one after the other, each as the records before it get older."""
    while log.start("t", 0) < offset:
        append()


def test_what_was_kept_long_enough_goes_and_the_newest_stays(opened, log):
    keeps = opened("two", keep_s={"t": KEPT_S})
    began = time.monotonic()
    keeps.append("t", 0, entries(*[b"old"] * 5), sequence=0)
    until_it_starts_at(keeps, 5, lambda: keeps.append("t", 0, entries(b"new")))
    assert time.monotonic() - began > KEPT_S
    start, end = keeps.start("t", 0), keeps.end("t", 0)
    kept = []
    while batch := keeps.read("t", 0, start + len(kept)):
        kept += batch
    assert {record.value for record in kept} == {b"new"}
    assert kept[-1].offset == end - 1
    assert opened("three").append("t", 0, entries(b"next"), sequence=end) == end + 1


def test_what_a_killed_writer_repeats_is_there_however_old_it_is(opened, log):
    log.append("t", 0, entries(b"a", b"b", b"c", b"d"))
    keeps = opened("two", keep_s={"t": KEPT_S / 1000})  # all of it is old
    keeps.append("t", 0, entries(b"c", b"d"), sequence=2)
    until_it_starts_at(keeps, 1, lambda: keeps.append("t", 0, entries(b"new")))
    assert keeps.start("t", 0) == 2
    assert opened("three").append("t", 0, entries(b"c", b"d"), sequence=2) == 4


def test_records_that_cannot_go_are_told_and_harm_nobody(broker, prefix, log):
    said = []
    keeps = KafkaLog(Cluster(broker.bootstrap, {}, said.append), prefix=prefix, keep_s={"t": 0.01})

    def no_leave(place):
        raise LogError(str(place.offset))

    keeps._topics.delete_before = no_leave
    while not said:
        keeps.append("t", 0, entries(b"a"))
    assert said[0].startswith("cannot delete old records of t/0 now: ")
    assert keeps.start("t", 0) == 0
    keeps.close()


@pytest.fixture
def compared(broker):
    """The comparison with a wanted replication factor."""
    return TopicPlan(Cluster(broker.bootstrap, {}), 1)


def lines(comparison, wanted):
    return [difference.line for difference in comparison.differences(wanted)]


def test_topics_are_made_as_wanted_and_compared(compared, broker, prefix):
    wanted = {f"{prefix}a": 2, f"{prefix}b": 1}
    missing = list(compared.differences(wanted))
    assert [one.line for one in missing] == [
        f"+ {prefix}a: 2 partitions",
        f"+ {prefix}b: 1 partition",
    ]
    assert all(compared.mend(one) for one in missing)
    assert lines(compared, wanted) == []
    compared._topics.configure(f"{prefix}b", {"retention.ms": "1000"})
    (changed,) = compared.differences({f"{prefix}b": 1})
    assert changed.line == f"~ {prefix}b: retention.ms 1000 → -1"
    assert compared.mend(changed)
    assert lines(compared, wanted) == []
    wishes_more = TopicPlan(Cluster(broker.bootstrap, {}), 3)
    (copies,) = wishes_more.differences({f"{prefix}b": 1})
    assert copies.line == f"! {prefix}b: has 1 copy of each record, must have 3"
    assert not wishes_more.mend(copies)


def test_a_topic_that_may_be_anothers_is_not_changed(compared, prefix, log, raw):
    compared._topics.configure(f"{prefix}t", {"retention.ms": "1000000"})
    (partitions,) = compared.differences({f"{prefix}t": 3})
    assert partitions.line == f"! {prefix}t: has 1 partitions, must have 3"
    assert not compared.mend(partitions)
    (ours,) = compared.differences({f"{prefix}t": 1})
    assert ours.line == f"~ {prefix}t: retention.ms 1000000 → -1"
    raw(f"{prefix}t", [[("other", b"1")]])
    (foreign,) = compared.differences({f"{prefix}t": 1})
    assert foreign.line.startswith(f"! {prefix}t: not changed, it may not be Headwater's: record ")
    assert "header 'headwater'" in foreign.line
    assert not compared.mend(foreign)
    assert compared._topics.configured(f"{prefix}t")["retention.ms"] == "1000000"


def test_a_message_over_the_topics_limit_is_an_error_and_the_log_opened_anew_goes_on(
    log, broker, opened, prefix
):
    cluster = Cluster(broker.bootstrap, {})
    Topics(cluster, cluster.consumer({}), 1).configure(f"{prefix}t", {"max.message.bytes": "1000"})
    with pytest.raises(LogError, match=rf"append to {prefix}t: .*[Ll]arge"):
        log.append("t", 0, entries(bytes(5000)))
    assert opened("two").append("t", 0, entries(b"small"), sequence=0) == 1
    while log.end("t", 0) < 1:
        pass  # another's append is durable a little before it can be read
    assert values(read_all(log, "t")) == [b"small"]


def as_user(broker, prefix, password):
    options = {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": USER,
        "sasl.password": password,
    }
    return KafkaLog(Cluster(broker.sasl, options), prefix=prefix, writer="ada")


def test_a_wrong_password_is_told_at_once(broker, prefix):
    log = as_user(broker, prefix, "guess")
    with pytest.raises(LogError, match=r"cannot log in: .*[Aa]uthentication"):
        log.partitions("t")
    log.close()


def test_a_refusal_once_kafka_has_let_us_in_may_pass():
    cluster = Cluster("127.0.0.1:1", {})
    cluster.note(KafkaError(KafkaError._AUTHENTICATION))
    with pytest.raises(LogError, match="cannot log in"):
        cluster.check_refused()
    cluster.ask("answer", lambda _: True, lambda _: None)
    assert cluster.last_error() == "no answer"
    cluster.note(KafkaError(KafkaError._AUTHENTICATION))
    cluster.check_refused()


def test_an_administrator_without_an_answer_is_told(monkeypatch):
    monkeypatch.setattr("state.kafka.topics._LIMIT_S", 0.01)
    cluster = Cluster("127.0.0.1:1", QUIET)
    topics = Topics(cluster, cluster.consumer({}), 1)
    with pytest.raises(LogError, match=r"must trim topic 't' within 0.01 s; got no answer"):
        topics.delete_before(TopicPartition("t", 0, 1))


def test_a_missing_permission_is_told(log, broker, prefix):
    admin = AdminClient({**QUIET, "bootstrap.servers": broker.bootstrap})

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

    log.append("t", 0, entries(b"a"))
    user = as_user(broker, prefix, PASSWORD)
    with pytest.raises(LogError, match=rf"look up topic '{prefix}t': .*[Aa]uthoriz"):
        user.partitions("t")
    allow(ResourceType.TOPIC, AclOperation.READ)
    assert values(read_all(user, "t")) == [b"a"]
    with pytest.raises(LogError, match=rf"writer {prefix}headwater-t-0: .*[Aa]uthoriz"):
        user.append("t", 0, entries(b"b"))
    allow(ResourceType.TRANSACTIONAL_ID, AclOperation.ALL)
    with pytest.raises(LogError, match=rf"append to {prefix}t: .*[Aa]uthoriz"):
        user.append("t", 0, entries(b"b"))
    user.close()
    allow(ResourceType.TOPIC, AclOperation.WRITE)
    user = as_user(broker, prefix, PASSWORD)
    assert user.append("t", 0, entries(b"b")) == 2
    user.close()


def test_a_broker_out_of_reach_is_told_with_what_is_waited_for():
    said = []
    cluster = Cluster("127.0.0.1:1", {}, said.append, patience_s=4)
    log = KafkaLog(cluster)
    with pytest.raises(
        LogError, match=r"Kafka at 127.0.0.1:1 must answer within 4 s \(.*'t'\); got .*refused"
    ):
        log.partitions("t")
    assert len(said) == 1
    assert "Waiting for Kafka at 127.0.0.1:1" in said[0]
    log.close()


@pytest.mark.parametrize("name", ["acks", "isolation.level", "auto.offset.reset"])
def test_what_the_promises_rest_on_is_nobodys_option(name):
    with pytest.raises(ValueError, match=rf"must leave \['{name}'\] to Headwater"):
        Cluster("127.0.0.1:1", {name: "0"})


def test_an_option_that_librdkafka_does_not_know_is_told():
    with pytest.raises(ValueError, match=r"must be librdkafka's; got .*no\.such\.thing"):
        KafkaLog(Cluster("127.0.0.1:1", {"no.such.thing": 1}))


def test_librdkafkas_own_mock_cluster_takes_and_gives_back_records(prefix):
    """Promises that can be tested without a broker: no markers or aborts, topics of four."""
    mock = Producer({**QUIET, "test.mock.num.brokers": 1, "bootstrap.servers": ""})
    bootstrap = ""
    while not bootstrap:
        brokers = mock.list_topics(timeout=10).brokers.values()
        bootstrap = ",".join(f"{one.host}:{one.port}" for one in brokers)
    mock.list_topics(f"{prefix}t", timeout=10)  # makes it
    log = KafkaLog(Cluster(bootstrap, {}), prefix=prefix, writer="me")
    assert log.partitions("t") == 4
    assert log.append("t", 3, entries(b"a", b"b"), sequence=0) == 2
    assert log.append("t", 3, entries(b"b", b"c"), sequence=1) == 3
    assert values(read_all(log, "t", 3)) == [b"a", b"b", b"c"]
    with pytest.raises(SequenceConflictError, match="at most the end 3; got 5"):
        log.append("t", 3, entries(b"f"), sequence=5)
    log.close()
