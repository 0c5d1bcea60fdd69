"""Commits beside the processing keep its order, gather what comes meanwhile, and hide no error."""

import threading

import pytest

from operators.partition.committer import Committer

LONG_S = 3_600.0
WITHIN_S = 30.0


class Gate:
    """A log that takes a write only when it is let, and notes each."""

    def __init__(self):
        self.begun, self.open = threading.Semaphore(0), threading.Semaphore(0)
        self.writes = []

    def write(self, items):
        self.begun.release()
        assert self.open.acquire(timeout=WITHIN_S)
        self.writes.append(list(items))


def test_what_comes_while_a_write_runs_is_written_together_and_in_order():
    log = Gate()
    committer = Committer(log.write, 0.0)
    committer.put(1)
    assert log.begun.acquire(timeout=WITHIN_S)
    for item in (2, 3, 4):
        committer.put(item)
    log.open.release(2)
    committer.drain()
    assert log.writes == [[1], [2, 3, 4]]


def test_a_drain_waits_for_no_interval_and_returns_when_all_is_written():
    log = Gate()
    log.open.release(10)
    committer = Committer(log.write, LONG_S)
    committer.put(1)
    committer.drain()
    committer.put(2)
    committer.put(3)
    committer.drain()
    assert log.writes == [[1], [2, 3]]
    committer.drain()
    assert log.writes == [[1], [2, 3]]


def test_within_the_interval_nothing_is_begun():
    log = Gate()
    log.open.release(10)
    committer = Committer(log.write, LONG_S)
    committer.put(1)
    assert log.begun.acquire(timeout=WITHIN_S)
    committer.put(2)
    assert not log.begun.acquire(timeout=0.05)
    committer.drain()
    assert log.writes == [[1], [2]]


def test_after_an_error_every_call_raises_it_and_nothing_more_is_written():
    written = []

    def write(items):
        written.extend(items)
        msg = "log is full"
        raise OSError(msg)

    committer = Committer(write, 0.0)
    committer.put(1)
    with pytest.raises(OSError, match="log is full"):
        committer.drain()
    for call in (committer.check, committer.drain, lambda: committer.put(2)):
        with pytest.raises(OSError, match="log is full"):
            call()
    assert written == [1]
