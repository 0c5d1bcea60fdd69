"""Boundaries of a young log come often, those of an old one at equal distances."""

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.partition.boundaries import Boundaries
from state.events import DAY_US, HOUR_US, MINUTE_US

LONGEST = 3


def _by_definition(boundaries, until):
    """Every boundary up to a time: of each age the multiples of the spacing that it has."""
    first, every, begun = boundaries.first, boundaries.every, boundaries.begun
    spacings = [Fraction(every)]
    while spacings[-1] / 2 >= 5 * MINUTE_US:
        spacings.append(spacings[-1] / 2)
    found = set()
    for spacing in spacings:
        is_widest, is_closest = spacing == spacings[0], spacing == spacings[-1]
        since = begun if is_closest else begun + 2 * spacing
        before = until + 1 if is_widest else begun + 4 * spacing
        number = max((since - first) // spacing, 0)
        while (time := -(-(first + number * spacing) // 1)) <= until:
            if since <= time < before and begun < time:
                found.add(int(time))
            number += 1
    return sorted(found)


YOUNG = st.builds(
    Boundaries,
    first=st.just(0) | st.integers(0, 10**12),
    every=st.sampled_from([HOUR_US, 12 * HOUR_US, 7 * DAY_US]) | st.integers(10**8, 10**11),
    begun=st.integers(1, 10**12),
)


@settings(deadline=None)  # the definition counts them one by one
@given(YOUNG, st.floats(0, LONGEST), st.sampled_from([-1, 0, 1]))
def test_the_newest_boundary_is_the_last_by_the_definition(boundaries, age, by):
    until = boundaries.begun + LONGEST * boundaries.every
    times = _by_definition(boundaries, until)
    somewhen = boundaries.begun + round(age * boundaries.every)
    near = min(times, key=lambda time: abs(time - somewhen), default=somewhen) + by
    for append_time in (somewhen, min(near, until)):
        expected = max((time for time in times if time <= append_time), default=0)
        assert boundaries.newest(append_time) == expected


@settings(deadline=None)  # the definition counts them one by one
@given(YOUNG)
def test_none_is_before_the_first_event_and_none_is_long_in_coming(boundaries):
    first, every, begun = boundaries.first, boundaries.every, boundaries.begun
    times = _by_definition(boundaries, begun + LONGEST * every)
    assert all(time > begun and time >= first for time in times)
    for one, other in pairwise(times):
        assert other - one <= max(one - begun, min(every, 10 * MINUTE_US)) + 1
        assert other - one >= min(every, 5 * MINUTE_US) - 1


def test_from_twice_the_interval_on_they_are_the_multiples_of_it():
    daily = Boundaries(first=0, every=DAY_US, begun=1_000 * DAY_US + 5 * HOUR_US)
    old = Boundaries(first=0, every=DAY_US)
    for hours in range(48 + 24, 480):
        append_time = daily.begun + hours * HOUR_US
        assert daily.newest(append_time) == old.newest(append_time)


@pytest.mark.parametrize("every", [MINUTE_US, 7 * MINUTE_US, 9 * MINUTE_US])
def test_an_interval_too_short_to_halve_gives_its_multiples_after_the_first_event(every):
    begun = 100 * every + 1
    boundaries = Boundaries(first=0, every=every, begun=begun)
    assert boundaries.newest(begun + every - 2) == 0
    assert boundaries.newest(begun + every - 1) == 101 * every


def test_a_log_whose_beginning_nobody_noted_has_equal_distances_only():
    assert Boundaries(first=0, every=DAY_US).newest(10 * DAY_US + 5) == 10 * DAY_US
