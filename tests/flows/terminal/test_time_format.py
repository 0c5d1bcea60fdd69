"""Times are told whatever number stands in a record."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from flows.terminal.time_format import format_time

FIRST = datetime(1, 1, 1, tzinfo=UTC)
LAST = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


@given(st.integers(-(2**63), 2**63 - 1))
def test_any_number_of_64_bits_is_told(us):
    assert format_time(us).isprintable()
    assert len(format_time(us)) >= 16


@given(st.datetimes(FIRST.replace(tzinfo=None), LAST.replace(tzinfo=None)))
def test_a_time_of_the_calendar_is_told_by_it(moment):
    us = (moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // (datetime.resolution)
    assert format_time(us) == f"{moment:%Y-%m-%d %H:%M}".zfill(16)


def test_what_is_beyond_the_calendar_is_told_as_a_number():
    assert format_time(2**63 - 1) == "9223372036854775807 µs"
    assert format_time(-(2**63)) == "-9223372036854775808 µs"
    assert format_time(None) == ""
