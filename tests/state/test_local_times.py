"""Local times in the hour that comes twice: the order of a file tells the hour where it can."""

from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest

from state.local_times import LocalTimes

BERLIN = ZoneInfo("Europe/Berlin")
BEGIN = datetime(2026, 10, 24, 20, tzinfo=UTC)
EVERY_5_MINUTES = [BEGIN + timedelta(minutes=5 * n) for n in range(150)]


def read(moments, times=None):
    """The moments again, from what a clock on the wall of Berlin showed."""
    times = times or LocalTimes(BERLIN)
    times.is_in_order = True
    shown = [moment.astimezone(BERLIN).replace(tzinfo=None, fold=0) for moment in moments]
    return [times.moment(one).astimezone(UTC) for one in shown], times


def test_a_sorted_file_gives_all_moments_back():
    found, times = read(EVERY_5_MINUTES)
    assert found == EVERY_5_MINUTES
    assert (times.twice, times.second) == (12, 12)


def test_neighbours_out_of_order_do_no_harm():
    random = Random(1)
    moments = sorted(
        EVERY_5_MINUTES, key=lambda one: one + timedelta(minutes=random.uniform(0, 14))
    )
    assert moments != EVERY_5_MINUTES
    assert read(moments)[0] == moments


def test_two_years_have_each_their_night():
    year = timedelta(days=364)
    moments = EVERY_5_MINUTES + [one + year for one in EVERY_5_MINUTES]
    assert read(moments)[0] == moments


@pytest.mark.parametrize(
    "moments",
    [EVERY_5_MINUTES[:60], EVERY_5_MINUTES[60:100], EVERY_5_MINUTES[60:100] * 2],
    ids=["the first hour only", "no first hour", "an unsorted file"],
)
def test_without_a_step_back_in_order_the_first_hour_is_taken(moments):
    found, times = read(moments[:60])
    taken = [one for one in found if one.astimezone(BERLIN).fold]
    assert (taken, times.second) == ([], 0)


def test_a_file_by_station_is_read_as_before_after_its_first_station():
    found, _ = read(EVERY_5_MINUTES * 2)
    assert found[:150] == EVERY_5_MINUTES
    assert not any(one.astimezone(BERLIN).fold for one in found[150:])


def test_other_times_of_an_event_have_no_order():
    times = LocalTimes(BERLIN)
    for minute in (50, 10):
        shown = datetime(2026, 10, 25, 2, minute)  # noqa: DTZ001
        assert times.moment(shown).fold == 0
