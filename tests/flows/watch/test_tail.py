"""A tail reads each record once, in bounded pieces."""

from contextlib import closing, suppress

import msgspec
import pytest

from flows.watch import tail as module
from flows.watch.tail import Tail
from state.log import Entry, LogError
from state.log.sqlite import SqliteLog
from tests.once_unreadable import OnceUnreadableLog


class Numbered(msgspec.Struct):
    n: int


@pytest.fixture
def log(tmp_path):
    with closing(SqliteLog(tmp_path)) as log:
        log.create("alerts", 2)
        yield log


def append(log, partition, numbers):
    log.append("alerts", partition, [Entry(n, b"", b'{"n":%d,"more":1}' % n) for n in numbers])


def test_each_record_is_taken_once_with_its_partition(log):
    taken = []
    tail = Tail("alerts", Numbered, lambda partition, one: taken.append((partition, one.n)))
    append(log, 0, range(3))
    append(log, 1, range(10, 12))
    assert tail.read_on(log) == 0
    assert tail.read_on(log) == 0
    append(log, 0, [3])
    tail.read_on(log)
    assert taken == [(0, 0), (0, 1), (0, 2), (1, 10), (1, 11), (0, 3)]


def test_one_call_takes_a_bounded_number_and_says_how_many_are_left(log, monkeypatch):
    monkeypatch.setattr(module, "_MOST_RECORDS", 4)
    taken = []
    tail = Tail("alerts", Numbered, lambda _, one: taken.append(one.n))
    append(log, 0, range(6))
    append(log, 1, range(6, 9))
    assert [tail.read_on(log) for _ in range(4)] == [5, 1, 0, 0]
    assert taken == list(range(9))


def test_one_call_takes_a_bounded_number_of_bytes(log, monkeypatch):
    monkeypatch.setattr(module, "_MOST_BYTES", 40)
    tail = Tail("alerts", Numbered, lambda *_: None)
    append(log, 0, range(6))
    assert [tail.read_on(log) for _ in range(3)] == [3, 0, 0]


def test_what_was_trimmed_before_it_was_read_is_passed_over(log):
    taken = []
    tail = Tail("alerts", Numbered, lambda _, one: taken.append(one.n))
    append(log, 0, range(3))
    tail.read_on(log)
    append(log, 0, range(3, 9))
    log.trim("alerts", 0, 7)
    assert tail.read_on(log) == 0
    assert taken == [0, 1, 2, 7, 8]


def test_a_topic_that_an_older_log_lacks_has_nothing(log):
    assert Tail("rollbacks", Numbered, lambda *_: None).read_on(log) == 0


@pytest.mark.parametrize("reads", range(6))
def test_each_record_is_taken_once_though_the_log_cannot_be_read_once(tmp_path, reads):
    taken = []
    tail = Tail("alerts", Numbered, lambda _, one: taken.append(one.n))
    with closing(OnceUnreadableLog(tmp_path)) as log:
        log.create("alerts", 2)
        append(log, 0, range(1_500))
        append(log, 1, range(1_500, 1_510))
        log.reads_left = reads
        for _ in range(2):
            with suppress(LogError):
                tail.read_on(log)
        assert log.reads_left < 0
    assert taken == list(range(1_510))


def test_no_record_before_an_altered_one_is_taken_twice(log):
    taken = []
    tail = Tail("alerts", Numbered, lambda _, one: taken.append(one.n))
    append(log, 0, range(3))
    log.append("alerts", 0, [Entry(0, b"", b"{}")])
    for _ in range(2):
        with pytest.raises(LogError, match="alerts/0 at offset 3"):
            tail.read_on(log)
    assert taken == [0, 1, 2]


def test_a_record_that_was_altered_is_named(log):
    log.append("alerts", 1, [Entry(0, b"", b"{}")])
    with pytest.raises(LogError, match="alerts/1 at offset 0"):
        Tail("alerts", Numbered, lambda *_: None).read_on(log)
