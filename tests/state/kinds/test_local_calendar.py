"""Local clock readings against the standard library, over both changes of the clock."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.kinds.local_calendar import calendar_readings, local_clock
from tests.rides import Ended

ZONES = ["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC"]
PARTS = {
    "hour": lambda local: f"h{local.hour:02d}",
    "weekday": lambda local: local.strftime("%a").lower(),
    "minute_of_day": lambda local: 60 * local.hour + local.minute,
    "day_of_year": lambda local: int(local.strftime("%j")),
}
last_second = round(datetime(2099, 12, 30, tzinfo=UTC).timestamp())
around_the_change = st.integers(1_711_846_800 - 12_000, 1_711_846_800 + 12_000)
moments = (st.integers(86_400, last_second) | around_the_change).map(
    lambda seconds: datetime.fromtimestamp(seconds, UTC)
)


def at(moment):
    time = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return Ended(id="a", time=0, of="", city="b", driver=1, pickup=time, late=0.0)


@pytest.mark.parametrize("zone", ZONES)
@given(times=st.lists(moments, min_size=1, max_size=4))
def test_every_part_is_what_a_clock_on_the_wall_shows(zone, times):
    reading = calendar_readings(list(PARTS), "pickup", ZoneInfo(zone))
    for moment in times:
        local = moment.astimezone(ZoneInfo(zone))
        assert reading(at(moment)) == tuple(read(local) for read in PARTS.values())


def test_the_clock_jumps_with_daylight_saving():
    hour = calendar_readings(["hour"], "pickup", ZoneInfo("Europe/Berlin"))
    start = datetime(2024, 3, 31, 0, 59, tzinfo=UTC)
    assert hour(at(start)) == ("h01",)
    assert hour(at(start + timedelta(minutes=1))) == ("h03",)


def test_a_clock_goes_back_as_well_as_on():
    local = local_clock(ZoneInfo("Europe/Berlin"))
    summer, winter = at(datetime(2024, 7, 1, tzinfo=UTC)), at(datetime(2024, 1, 1, tzinfo=UTC))
    offsets = [local(e.pickup) - e.pickup for e in (summer, winter, summer)]
    assert offsets == [7_200_000_000, 3_600_000_000, 7_200_000_000]
