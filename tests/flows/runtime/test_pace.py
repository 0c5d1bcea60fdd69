"""Work that returns leaves time for other work, however long it takes."""

from itertools import pairwise

import pytest

from flows.runtime.pace import Pace


class Clock:
    """Seconds, as a test says."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def begun(seconds, took, until):
    """When such work begins, with a look each second."""
    clock, found = Clock(), []
    pace = Pace(seconds, clock)
    while clock.now < until:
        clock.now += 1.0
        if pace.is_due():
            found.append(clock.now)
            clock.now += took
            pace.done()
    return found


@pytest.mark.parametrize("took", [0.0, 0.9, 6.0])
def test_what_takes_little_of_its_time_is_done_each_time(took):
    found = begun(30.0, took, 1_000.0)
    assert all(30.0 <= b - a <= 31.0 for a, b in pairwise(found))
    assert len(found) >= 29


@pytest.mark.parametrize("took", [11.0, 30.0, 100.0])
def test_what_takes_long_has_at_most_a_fifth_of_the_time(took):
    found = begun(30.0, took, 20_000.0)
    spent = took * (len(found) - 1) / (found[-1] - found[0])
    assert 0.15 < spent < 0.23


def test_a_pace_that_was_slow_for_once_is_soon_as_before():
    clock = Clock()
    pace = Pace(30.0, clock)
    begun_at = []
    for took in (100.0, 0.5, 0.5, 0.5):
        while not pace.is_due():
            clock.now += 1.0
        begun_at.append(clock.now)
        clock.now += took
        pace.done()
    waits = [b - a for a, b in pairwise(begun_at)]
    assert waits == pytest.approx([495.0, 30.0, 30.0], abs=1.0)


def test_work_that_was_not_due_says_nothing_of_the_pace():
    clock = Clock()
    pace = Pace(30.0, clock)
    clock.now += 1_000.0
    pace.done()
    assert pace.is_due()
    pace.done()
    clock.now += 30.0
    assert pace.is_due()


def test_at_rest_it_is_due_as_often_as_ever_however_long_it_took():
    clock = Clock()
    pace = Pace(30.0, clock)
    clock.now += 30.0
    assert pace.is_due()
    clock.now += 1_000.0
    pace.done()
    assert not pace.is_due()
    assert pace.is_due_at_rest()
    clock.now += 29.0
    assert not pace.is_due_at_rest()
