"""The vector against its definition, computed from the list of all events that ever were."""

import math
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from state.durations import Duration
from state.events import HOUR_US, MINUTE_US, SECOND_US
from state.features import Custom, Labelled
from state.stream import StreamError
from state.vector.feature_state import FeatureState
from tests.rides import START_US, Asked, Ended, Rain, Streak, stream

LATENESS_US = Duration.parse(stream.lateness)
TOO_LATE_US = LATENESS_US + stream.horizon_us
CITIES = ("ber", "muc")


def within(time, now, bucket, window):
    """Whether a window of `window` at `now` holds the bucket of `time`."""
    newest = now // bucket
    return newest - window // bucket < time // bucket <= newest


def rolled(events, now, bucket_s, minutes):
    bucket, window = bucket_s * SECOND_US, minutes * MINUTE_US
    return [e for e, time in events if within(time, now, bucket, window)]


def mean(values, prior=0.0, strength=0.0):
    weight = len(values) + strength
    return (sum(values) + prior * strength) / weight if weight else math.nan


def averaged(pairs, now, rate, prior, forget):
    """EWMA of (value, time) pairs in order of arrival."""
    average, touched = prior, -math.inf
    for value, time in pairs:
        if time - touched > forget * MINUTE_US:
            average = prior
        average += rate * (value - average)
        touched = max(touched, time)
    return average if now - touched <= forget * MINUTE_US else prior


def expected(seen, request):
    """Every column of the rides stream; a bucket is a sixtieth of its window unless given."""
    now = request.time
    city, driver = request.city, request.driver
    local = datetime.fromtimestamp(request.pickup / 1e6, ZoneInfo("Europe/Berlin"))
    ended = [(e, e.time) for e in seen if isinstance(e, Ended)]
    mine = [(e, t) for e, t in ended if (e.city, e.driver) == (city, driver)]
    pickups = [
        (1 if isinstance(e, Asked) else -1, e.pickup)
        for e in seen
        if isinstance(e, Asked | Ended) and e.city == city
    ]
    known = [e for e in seen if isinstance(e, Labelled) and e.request.driver == driver]
    rain = [e for e in seen if isinstance(e, Rain) and e.city == city]
    newest = max(reversed(rain), key=lambda e: e.time, default=None)
    wet = newest is not None and now - newest.time <= 40 * MINUTE_US
    rides = [e for e, _ in ended if e.driver == driver]
    streak, last = 0, -math.inf
    for e in rides:
        streak = (0 if e.time - last > 2 * HOUR_US else streak) + (e.late > 5)
        last = max(e.time, last)
    recent = now - last <= 2 * HOUR_US
    half, two = rolled(mine, now, 300, 30), rolled(mine, now, 300, 120)
    labels = rolled([(e.label, e.time) for e in known], now, 60, 60)
    return {
        "city": city,
        "car": request.car,
        "hour": f"h{local.hour:02d}",
        "weekday": local.strftime("%a").lower(),
        "minute_of_day": local.hour * 60 + local.minute,
        "day_of_year": local.timetuple().tm_yday,
        "price": request.price,
        "ride_minutes": (request.arrive - request.pickup) / MINUTE_US,
        "all_ended_10m": len(ten := rolled(ended, now, 10, 10)),
        "all_late_10m": mean([e.late for e in ten], 2.0, 3.0),
        "all_ended_1h": len(hour := rolled(ended, now, 60, 60)),
        "all_late_1h": mean([e.late for e in hour], 2.0, 3.0),
        "city_driver_count_30m": len(half),
        "city_driver_late_30m": sum(e.late for e in half),
        "city_driver_square_30m": mean([e.late**2 for e in half]),
        "city_driver_count_2h": len(two),
        "city_driver_late_2h": sum(e.late for e in two),
        "city_driver_square_2h": mean([e.late**2 for e in two]),
        "city_open_20m": sum(rolled(pickups, now, 20, 20)),
        "city_open_1h": sum(rolled(pickups, now, 60, 60)),
        "driver_known_1h": len(labels),
        "driver_late_1h": mean(labels, 0.3, 4.0),
        "usual": averaged(
            [(e.label, e.time) for e in known if e.request.city == city], now, 0.2, 0.3, 90
        ),
        "usual_late": averaged([(e.late, e.time) for e in rides], now, 0.3, 1.0, 45),
        "fell": newest.fell if wet and newest.fell is not None else math.nan,
        "wind": newest.wind if wet else math.nan,
        "streak": streak if recent else 0.0,
        "since_ride": (now - last) / MINUTE_US if recent else math.nan,
    }


def vector(state, request):
    row = np.full(len(stream.columns), -1.0)
    state.read(request, row)
    values = row.tolist()
    for i, levels in state.levels.items():
        values[i] = None if math.isnan(values[i]) else levels.names[int(values[i])]
    return dict(zip((c.name for c in stream.columns), values, strict=True))


def check(state, seen, request):
    got, want = vector(state, request), expected(seen, request)
    assert list(got) == list(want)
    for name, value in want.items():
        if isinstance(value, str) or value is None:
            assert got[name] == value, name
        else:
            assert got[name] == pytest.approx(value, rel=1e-12, abs=1e-12, nan_ok=True), name


# Each example makes a state: to shrink one would take minutes.
UNSHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)
halves = st.integers(-40, 80).map(lambda n: n / 2)
drivers = st.integers(0, 2)
step = st.tuples(
    st.sampled_from(["ask", "ask", "end", "end", "rain", "label", "pause"]),
    st.sampled_from([0, 1, 7 * SECOND_US, MINUTE_US, 11 * MINUTE_US, 50 * MINUTE_US]),
    st.integers(0, 100),  # how late, in percent of the latest that is accepted
    st.sampled_from(CITIES),
    drivers,
    halves,
    st.integers(-90, 30),  # pickup in minutes from the event
)


def event_of(kind, number, time, city, driver, half, pickup):
    planned = max(time + pickup * MINUTE_US, 0)
    match kind:
        case "ask":
            return Asked(
                id=f"{number}", time=time, city=city, driver=driver, pickup=planned,
                arrive=planned + 20 * MINUTE_US, price=abs(half), car=[None, "van"][number % 2],
            )  # fmt: skip
        case "end":
            return Ended(
                id=f"{number}", time=time, of="", city=city, driver=driver, pickup=planned,
                late=half,
            )  # fmt: skip
        case "rain":
            fell = None if half < 0 else half
            return Rain(id=f"{number}", time=time, city=city, fell=fell, wind=abs(half))


@given(steps=st.lists(step, max_size=50), start=st.sampled_from([1, START_US]))
@settings(deadline=None, max_examples=80, phases=UNSHRUNK)
def test_the_vector_is_what_its_definition_says(steps, start):
    state, seen, high = FeatureState(stream), [], start
    for number, (kind, gap, late, city, driver, half, pickup) in enumerate(steps):
        high += gap * (40 if kind == "pause" else 1)
        if kind == "pause":
            continue
        allowed = LATENESS_US if kind == "ask" else TOO_LATE_US
        time = max(high - allowed * max(late - 50, 0) // 50, 1)
        if kind == "label":
            asked = [e for e in seen if isinstance(e, Asked)]
            if not asked:
                continue
            event = Labelled(asked[number % len(asked)], number % 2, time)
        else:
            event = event_of(kind, number, time, city, driver, half, pickup)
        if kind == "ask":
            check(state, seen, event)
        state.observe(event)
        seen.append(event)
        state.forget(high - TOO_LATE_US)
        if number % 13 == 5:
            before, state = state, FeatureState(stream)
            state.restore(before.snapshot())
            assert state.snapshot() == before.snapshot()
    for city in CITIES:
        check(state, seen, event_of("ask", 999, high, city, 1, 0.5, 0))


def test_a_late_event_counts_where_it_belongs():
    state = FeatureState(stream)
    now = START_US + 5 * HOUR_US
    ask = event_of("ask", 1, now, "ber", 0, 1.0, 0)
    for number, minutes in enumerate((1, 90, 31, 24, 0)):
        state.observe(event_of("end", number, now - minutes * MINUTE_US, "ber", 0, 2.0, 0))
    got = vector(state, ask)
    assert (got["city_driver_count_30m"], got["city_driver_count_2h"]) == (3, 5)
    assert (got["all_ended_10m"], got["all_ended_1h"]) == (2, 4)


def test_what_is_older_than_the_ring_takes_no_newer_bucket_s_place():
    state, seen = FeatureState(stream), []
    now = START_US + 8 * HOUR_US
    for back in range(600):  # 200 minutes in buckets of 20 seconds: twice round the ring
        ended = event_of("end", back, now, "ber", 0, 1.0, 0)
        seen.append(msgspec.structs.replace(ended, pickup=now - back * 20 * SECOND_US))
        state.observe(seen[-1])
    check(state, seen, event_of("ask", 1, now, "ber", 0, 1.0, 0))


def test_reading_changes_no_window_and_no_average():
    state = FeatureState(stream)
    for number in range(20):
        state.observe(event_of("end", number, START_US + number, "ber", number % 3, 1.0, 0))
    ask = event_of("ask", 1, START_US + 30, "ber", 0, 1.0, 0)
    first = vector(state, ask)
    bytes_after_first = state.snapshot()  # levels have their numbers now
    assert repr(vector(state, ask)) == repr(first)
    assert state.snapshot() == bytes_after_first


def blocks(state):
    return sum(len(table.blocks) for table in state._arena.tables)


def test_every_key_is_forgotten_and_its_room_used_again():
    state = FeatureState(stream)
    sizes = []
    for turn in range(6):
        start = START_US + turn * 10 * HOUR_US
        for number in range(300):
            time = start + number * SECOND_US
            ask = event_of("ask", number, time, f"c{turn}-{number}", number % 100, 1.0, 0)
            state.observe(ask)
            state.observe(event_of("end", number, time, ask.city, ask.driver, 9.0, 0))
            state.observe(event_of("rain", number, time, ask.city, 0, 1.0, 0))
            state.observe(Labelled(ask, 1, time))
        assert blocks(state) > 1000
        sizes.append(len(state.snapshot()))
        state.forget(start + 9 * HOUR_US)
        assert blocks(state) == 0
        assert not state._hooks[0][0].streaks
    assert len(set(sizes[1:])) == 1


def test_a_key_is_kept_as_long_as_a_window_may_see_it():
    state = FeatureState(stream)
    state.observe(event_of("end", 1, START_US, "ber", 0, 9.0, 0))
    for kept_us in (1, 30 * MINUTE_US, 90 * MINUTE_US, 2 * HOUR_US):
        state.forget(START_US + kept_us)
        ask = event_of("ask", 2, START_US + kept_us - 1, "ber", 0, 1.0, 0)
        assert vector(state, ask)["city_driver_count_2h"] == 1


def test_levels_end_somewhere():
    state = FeatureState(stream)
    for number in range(5_000):
        state.read(
            event_of("ask", 1, START_US, f"c{number}", 0, 1.0, 0), np.zeros(len(stream.columns))
        )
    assert len(state.levels[0].names) == 4096
    row = np.zeros(len(stream.columns))
    state.read(event_of("ask", 1, START_US, "c4999", 0, 1.0, 0), row)
    assert math.isnan(row[0])
    state.read(event_of("ask", 1, START_US, "c17", 0, 1.0, 0), row)
    assert row[0] == 17.0


@pytest.mark.parametrize("values", [(), (1.0,) * 9])
def test_a_hook_must_give_a_value_for_each_of_its_columns(values):
    class Short(Streak):
        def values(self, _):
            return values

    features = tuple(Custom(Short) if isinstance(one, Custom) else one for one in stream.features)
    state = FeatureState(replace(stream, features=features))
    request = Asked(id="a", time=START_US, city="ber", driver=1, price=1.0,
                    pickup=START_US, arrive=START_US + HOUR_US)  # fmt: skip
    with pytest.raises(StreamError, match="hook Short must give a value for each of its columns"):
        state.read(request, np.full(len(stream.columns), 7.0))
