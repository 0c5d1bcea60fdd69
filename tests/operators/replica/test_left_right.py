"""Readers never meet a copy that is being changed, and never wait."""

import gc
import threading

import pytest

from operators.replica.left_right import BusyError, LeftRight
from tests.waiting import until


def test_readers_never_see_half_a_change():
    both = LeftRight([0, 0], [0, 0])
    stop, wrong = threading.Event(), []

    def read():
        reading = both.reading()
        while not stop.is_set():
            with reading as pair:
                first = pair[0]
                for _ in range(50):
                    pass
                if first != pair[1]:
                    wrong.append(list(pair))

    def change(pair):
        pair[0] += 1
        for _ in range(50):
            pass
        pair[1] += 1

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        both.write(change)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert both.active == both.idle == [50, 50]


def test_a_writer_waits_for_a_reader_on_the_old_copy_and_not_for_one_on_the_new():
    both = LeftRight([1], [1])
    reading, other = both.reading(), both.reading()
    changed = threading.Event()
    with reading as old:
        writer = threading.Thread(target=lambda: (both.write(lambda c: c.append(2)), changed.set()))
        writer.start()
        until(lambda: both.active is not old)
        with other as new:
            assert (old, new) == ([1], [1, 2])
            assert not changed.is_set()
    writer.join()
    assert both.idle == [1, 2]


def test_what_fails_for_the_first_copy_leaves_readers_with_the_other():
    both = LeftRight([1], [1])
    with pytest.raises(IndexError):
        both.write(lambda copy: copy.pop(7))
    with both.reading() as copy:
        assert copy == [1]


def test_a_thread_that_is_gone_is_forgotten():
    both = LeftRight([1], [1])
    for _ in range(5):
        both.reading()
    gc.collect()
    both.reading()
    assert len(both._readings) == 1


def test_an_exit_that_never_came_is_made_up_by_the_next_entry():
    both = LeftRight([1], [1], most_wait_s=0.01)
    reading = both.reading()
    reading.__enter__()  # and a signal handler raises before the exit
    with reading as old:
        with pytest.raises(BusyError, match=r"within 0.01 s; it has not"):
            both.write(lambda copy: copy.append(2))
        assert old == [1]
    with reading as new:
        assert new == [1, 2]


def test_a_thread_that_is_gone_is_not_waited_for():
    both = LeftRight([1], [1])
    threading.Thread(target=lambda: both.reading().__enter__()).start()
    both.write(lambda copy: copy.append(2))
    assert both.idle == [1, 2]
