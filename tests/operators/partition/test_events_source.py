"""Partitions are claimed together before one is opened, and none is opened after a stop."""

import threading

import pytest

from operators.partition.dataflow import EventsSource
from operators.shard.messages import Finish


class Ended:
    """A partition that has been read to its end."""

    def __init__(self, partition, done):
        self._partition, self._done = partition, done

    def poll(self):
        self._done.append(f"poll {self._partition}")

    def at_end(self):
        return True


@pytest.fixture
def done():
    return []


@pytest.fixture
def stop():
    return threading.Event()


@pytest.fixture
def parts(done, stop):
    def opened(partition):
        done.append(f"open {partition}")
        return Ended(partition, done)

    def claim(partition):
        done.append(f"claim {partition}")

    source = EventsSource([0, 1], opened, stop, follow=False, claim=claim)
    return [source.build_part("events", name, None) for name in source.list_parts()]


def test_all_are_claimed_before_one_is_opened_and_opened_before_one_is_read(parts, done):
    messages = [message for _ in range(2) for part in parts for message in part.next_batch()]
    assert done == ["claim 0", "claim 1", "open 0", "open 1", "poll 0", "poll 1"]
    assert messages == [(1, Finish())]  # the first one may yet have to cross a boundary


def test_a_partition_that_was_never_opened_ends_without_a_word(parts, done, stop):
    stop.set()
    for part in parts:
        with pytest.raises(StopIteration):
            part.next_batch()
    assert done == ["claim 0", "claim 1"]
