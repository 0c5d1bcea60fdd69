"""A thread that takes turns rests often, whatever it does."""

import resource
import sys
import time

import pytest

from flows.scoring.gil_yield import GilYielder, taking_turns


def rests():
    """Number of times this thread has released its processor voluntarily."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


def work(seconds=0.05):
    """Python code that calls, and never rests."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        sum(abs(i) for i in range(10))


def test_work_within_rests_and_other_work_does_not():
    before = rests()
    work()
    without = rests() - before
    before = rests()
    with taking_turns():
        work()
    # At most 0.5 ms and a pause each, on a machine that has nothing else to do.
    assert rests() - before > 20 > without


def test_a_turn_lasts_some_time():
    turns = GilYielder()
    before = rests()
    for _ in range(10):
        turns()
    assert rests() - before <= 1


def test_a_profiler_has_its_place_back_even_after_an_error():
    def profiler(*_):
        pass

    before = sys.getprofile()
    sys.setprofile(profiler)
    try:
        with pytest.raises(ZeroDivisionError), taking_turns():
            1 / 0  # noqa: B018 - it is there to fail
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(before)
