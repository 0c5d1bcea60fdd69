"""Events from the future are put aside, and sources ahead are reported with the right estimate."""

import msgspec
import pytest

from state.admission.clock_guard import ClockGuard
from state.events import HOUR_US, MINUTE_US, SECOND_US

SPAN_US = HOUR_US
NOW = 1_711_828_800 * SECOND_US


@pytest.fixture
def guard():
    return ClockGuard(tolerance_us=5 * MINUTE_US, span_us=SPAN_US, notice_us=SECOND_US)


def watch(guard, after_us, ahead_us, source="app"):
    return guard.watch(source, NOW + after_us + ahead_us, NOW + after_us)


def test_an_event_is_accepted_up_to_the_tolerance(guard):
    assert watch(guard, 0, 5 * MINUTE_US) == (True, 0)
    assert watch(guard, 1, 5 * MINUTE_US + 1) == (False, 5 * MINUTE_US + 1)


def test_a_late_event_is_no_matter_of_the_clock(guard):
    assert watch(guard, 0, -100 * HOUR_US) == (True, 0)


def test_a_source_in_time_is_never_reported(guard):
    assert all(watch(guard, n * MINUTE_US, -(n % 7) * SECOND_US) == (True, 0) for n in range(500))


def test_a_source_ahead_from_its_first_event_is_reported_at_once(guard):
    assert watch(guard, 0, 3 * HOUR_US) == (False, 3 * HOUR_US)


def test_a_source_ahead_is_reported_once_a_span(guard):
    reports = [watch(guard, n * MINUTE_US, 3 * HOUR_US) for n in range(181)]
    assert not any(accepted for accepted, _ in reports)
    assert [n for n, (_, ahead) in enumerate(reports) if ahead] == [0, 60, 120, 180]
    assert {ahead for _, ahead in reports} == {0, 3 * HOUR_US}


@pytest.mark.parametrize("quiet", [1, 59, 60, 61, 600])
def test_the_first_event_from_the_future_is_reported_whenever_it_comes(guard, quiet):
    watch(guard, 0, -SECOND_US)
    assert watch(guard, quiet * MINUTE_US, 3 * HOUR_US) == (False, 3 * HOUR_US)
    assert watch(guard, quiet * MINUTE_US + 1, 3 * HOUR_US) == (False, 0)


def test_a_source_a_little_ahead_is_reported_at_the_end_of_the_span(guard):
    for n in range(60):
        assert watch(guard, n * MINUTE_US, (n % 5) * SECOND_US) == (True, 0)
    assert watch(guard, 60 * MINUTE_US, 0) == (True, 4 * SECOND_US)
    assert all(watch(guard, n * MINUTE_US, 0) == (True, 0) for n in range(61, 200))


def test_a_source_ahead_by_no_more_than_the_notice_is_not_reported(guard):
    assert all(watch(guard, n * MINUTE_US, SECOND_US) == (True, 0) for n in range(200))


def test_the_larger_of_what_ended_and_what_begins_is_reported(guard):
    watch(guard, 0, 2 * SECOND_US)
    assert watch(guard, SPAN_US, 3 * HOUR_US) == (False, 3 * HOUR_US)
    assert watch(guard, 2 * SPAN_US, 2 * HOUR_US) == (False, 3 * HOUR_US)


def test_each_source_has_a_clock_of_its_own(guard):
    watch(guard, 0, -5 * SECOND_US, "desk")
    watch(guard, 1, 3 * HOUR_US, "app")
    assert watch(guard, 2, 0, "desk") == (True, 0)
    assert guard.least_lag_us() == {"desk": 0, "app": -3 * HOUR_US}


def test_the_least_lag_slides_over_two_spans(guard):
    watch(guard, 0, 4 * MINUTE_US)
    for n, least in ((1, -4 * MINUTE_US), (2, SECOND_US), (3, SECOND_US)):
        watch(guard, n * SPAN_US, -SECOND_US)
        assert guard.least_lag_us() == {"app": least}


def test_a_silent_source_is_forgotten_and_an_active_one_is_not(guard):
    watch(guard, 0, 0, "silent")
    for n in range(30):
        watch(guard, n * HOUR_US, 0, "active")
        guard.forget(NOW + (n - 24) * HOUR_US)
    assert list(guard.least_lag_us()) == ["active"]


def test_a_restored_guard_goes_on_as_the_one_before(guard):
    watch(guard, 0, 3 * HOUR_US)
    other = ClockGuard(5 * MINUTE_US, SPAN_US, SECOND_US)
    other.restore(guard.snapshot())
    assert other.snapshot() == guard.snapshot()
    assert watch(other, 1, 3 * HOUR_US) == (False, 0)
    assert watch(other, SPAN_US, 0) == (True, 3 * HOUR_US)


@pytest.mark.parametrize("append_time", [-(2**63), 2**63 - 1])
def test_whatever_append_time_a_log_holds_the_guard_can_be_kept(guard, append_time):
    guard.watch("app", NOW, append_time)
    guard.watch("app", NOW, append_time)
    other = ClockGuard(5 * MINUTE_US, SPAN_US, SECOND_US)
    other.restore(guard.snapshot())
    assert other.least_lag_us() == {"app": max(append_time - NOW, -(2**63))}


def test_a_state_with_a_name_that_no_event_can_have_is_not_restored(guard):
    other = ClockGuard(tolerance_us=5 * MINUTE_US, span_us=SPAN_US, notice_us=SECOND_US)
    watch(guard, 0, 0, "s" * 250)
    other.restore(guard.snapshot())
    assert list(other.least_lag_us()) == ["s" * 250]
    watch(guard, 0, 0, "s" * 251)
    with pytest.raises(msgspec.ValidationError, match="length <= 250"):
        other.restore(guard.snapshot())
