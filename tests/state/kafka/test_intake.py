"""One consumer reads many partitions; each is bounded by itself and holds up no other."""

import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from state.kafka.cluster import Cluster
from state.kafka.intake import Intakes
from state.kafka.log import KafkaLog
from state.log import Entry
from tests.state.log_contract import entries, read_all, values

FETCH_BYTES, VALUE_BYTES, COUNT = 10_000, 1_000, 400
WITHIN_S = 60.0


class Counting(Cluster):
    """Counts the consumers that are made."""

    consumers = 0

    def consumer(self, own):
        self.consumers += 1
        return super().consumer(own)


@pytest.fixture
def opened(broker):
    prefix, logs = f"{uuid.uuid4().hex[:8]}-", []

    def open_with(cluster):
        logs.append(KafkaLog(cluster, prefix=prefix, writer="me", role_of=lambda *_: "shard"))
        return logs[-1]

    yield open_with, prefix
    for log in logs:
        log.close()


def test_all_partitions_are_read_by_three_consumers_however_many_there_are(broker, opened):
    open_with, _ = opened
    cluster = Counting(broker.bootstrap, {})
    log = open_with(cluster)
    for topic in ("t", "u"):
        log.create(topic, 6)
        for p in range(6):
            log.append(topic, p, entries(b"a", b"b"))
    read = [values(log.read(topic, p, 0)) for topic in ("t", "u") for p in range(6)]
    assert read == [[b"a", b"b"]] * 12
    assert cluster.consumers == 3  # one asks for ends, one reads single records, one reads on


def test_a_place_that_is_read_twice_at_once_has_a_consumer_more(broker, opened):
    open_with, _ = opened
    cluster = Counting(broker.bootstrap, {})
    log = open_with(cluster)
    log.create("t", 1)
    log.append("t", 0, entries(*[b"%d" % i for i in range(9)]))
    for _ in range(3):
        first, second = log.read("t", 0, 0, max_records=4), log.read("t", 0, 2, max_records=4)
        assert values(first + second) == [b"0", b"1", b"2", b"3", b"2", b"3", b"4", b"5"]
    assert cluster.consumers <= 6


def test_what_is_not_read_is_bounded_and_holds_up_no_other(broker, opened):
    open_with, prefix = opened
    options = {"fetch.message.max.bytes": FETCH_BYTES, "queued.max.messages.kbytes": 20}
    cluster = Cluster(broker.bootstrap, options)
    log = open_with(cluster)
    log.create("t", 2)
    written = [b"%04d" % i + bytes(VALUE_BYTES) for i in range(COUNT)]
    for p in (0, 1):
        for first in range(0, COUNT, 10):  # a fetch brings what was written together
            log.append("t", p, [Entry(0, b"", value) for value in written[first : first + 10]])
    intakes = Intakes(cluster)
    idle, read = (intakes.open(f"{prefix}t", p, 0) for p in (0, 1))
    assert [message.value() for message in taken(read, COUNT)] == written
    assert (
        len(idle._messages) * VALUE_BYTES
        < 4 * FETCH_BYTES + 3 * FETCH_BYTES
        < sum(map(len, written))
    )
    assert [message.value() for message in taken(idle, COUNT)] == written
    intakes.close()


def test_a_place_that_was_given_up_when_it_was_full_can_be_read_again(broker, opened):
    open_with, prefix = opened
    log = open_with(Cluster(broker.bootstrap, {}))
    log.create("t", 1)
    values_of = [b"%04d" % i for i in range(20)]
    for first in range(0, 20, 5):
        log.append("t", 0, entries(*values_of[first : first + 5]))
    intakes = Intakes(Cluster(broker.bootstrap, {"fetch.message.max.bytes": 1}))
    for _ in range(2):
        lane = intakes.open(f"{prefix}t", 0, 0)
        while not lane.holds_more():
            lane.wait()
        lane.close()
    lane = intakes.open(f"{prefix}t", 0, 0)
    assert [message.value() for message in taken(lane, 20)] == values_of
    intakes.close()


@pytest.fixture
def hurried_threads():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_threads_beside_each_other_find_all_that_is_there(broker, opened, hurried_threads):
    del hurried_threads
    open_with, _ = opened
    partitions, count = 8, 200
    written = [b"%d" % i for i in range(count)]
    log = open_with(Cluster(broker.bootstrap, {}))
    log.create("t", partitions)
    for p in range(partitions):
        for first in range(0, count, 20):
            log.append("t", p, entries(*written[first : first + 20]))

    def read(reader, p):
        found = []
        while new := reader.read("t", p, len(found), max_records=7):
            found += values(new)
        return found

    for _ in range(20):
        reader = open_with(Cluster(broker.bootstrap, {}))
        with ThreadPoolExecutor(partitions) as pool:
            several = list(pool.map(read, [reader] * partitions, range(partitions)))
        assert [len(found) for found in several] == [count] * partitions
        assert several == [written] * partitions


class Interrupted:
    """A consumer whose thread is interrupted as soon as it has messages."""

    def __init__(self, consumer, came, go_on):
        self._consumer, self._came, self._go_on = consumer, came, go_on

    def __getattr__(self, name):
        return getattr(self._consumer, name)

    def consume(self, most, seconds):
        messages = self._consumer.consume(most, seconds)
        if messages:
            self._came.set()
            assert self._go_on.wait(WITHIN_S)
        return messages


def test_what_another_thread_is_about_to_bring_is_not_taken_for_nothing(broker, opened):
    open_with, prefix = opened
    log = open_with(Cluster(broker.bootstrap, {}))
    log.create("t", 1)
    log.append("t", 0, entries(b"a", b"b"))
    came, go_on = threading.Event(), threading.Event()

    class Interrupting(Cluster):
        def consumer(self, own):
            return Interrupted(super().consumer(own), came, go_on)

    intakes = Intakes(Interrupting(broker.bootstrap, {}))
    lane = intakes.open(f"{prefix}t", 0, 0)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(taken, lane, 2)
        assert came.wait(WITHIN_S)
        before = lane.reached
        go_on.set()
        assert [message.value() for message in other.result(WITHIN_S)] == [b"a", b"b"]
    assert before == 0
    assert lane.reached >= 2
    intakes.close()


def taken(lane, count):
    messages, limit = [], time.monotonic() + WITHIN_S
    while len(messages) < count:
        assert time.monotonic() < limit, f"only {len(messages)} came"
        messages += lane.take(count - len(messages))
        if len(messages) < count:
            lane.wait()
    return messages


def test_an_error_in_one_partition_is_no_error_in_another(broker, opened, tmp_path):
    open_with, _ = opened
    log = open_with(Cluster(broker.bootstrap, {}))
    log.create("t", 2)
    for p in (0, 1):
        log.append("t", p, entries(b"a"))
    assert values(read_all(log, "t")) == [b"a"]
    other = open_with(Cluster(broker.bootstrap, {}))
    other.append("t", 0, entries(b"b", b"c"))
    assert other.trim("t", 0, 2) == 2
    reader = open_with(Cluster(broker.bootstrap, {}))
    with pytest.raises(OSError, match="starts at offset 2"):
        reader.read("t", 0, 0)
    assert values(reader.read("t", 1, 0)) == [b"a"]
    assert values(reader.read("t", 0, 2)) == [b"c"]


def test_writers_of_several_partitions_are_made_beside_each_other(broker, opened):
    open_with, _ = opened
    together = threading.Barrier(2)

    class Meeting(Cluster):
        def producer(self, own):
            together.wait(WITHIN_S)
            return super().producer(own)

    open_with(Cluster(broker.bootstrap, {})).create("t", 2)
    log = open_with(Meeting(broker.bootstrap, {}))
    ends = {}
    threads = [
        threading.Thread(target=lambda p=p: ends.update({p: log.append("t", p, entries(b"a"))}))
        for p in (0, 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WITHIN_S)
    assert ends == {0: 1, 1: 1}
