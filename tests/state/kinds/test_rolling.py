"""Rolling windows against a ring with a place for each bucket, kept in a plain dict."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state.durations import Duration
from state.events import MINUTE_US, SECOND_US, Event
from state.features import Count, Rolling, Sum
from state.stream import Label, Stream
from state.vector.feature_state import FeatureState

START_US = 1_700_000_000_000_000


class Asked(Event, frozen=True, kw_only=True):
    host: str


class Came(Event, frozen=True, kw_only=True):
    host: str
    size: float


def stream_of(*features, lateness="0s"):
    label = Label(
        on=Came,
        of="host",
        value=lambda _: True,
        deadline=lambda asked: asked.time,
        silence=False,
        delay="1h",
    )
    return Stream("comings", (Asked, Came), Asked, label, features, lateness=lateness, dedup="40d")


def rolling(**changes):
    given = {"over": Came, "by": ("host",), "stats": (Count("n"), Sum("size", "size"))}
    return Rolling(**given | changes)


def read(state, stream, time, host="a"):
    row = np.zeros(len(stream.columns))
    state.read(Asked(id="r", time=time, host=host), row)
    return row.tolist()


def came(number, time, size=1.0, host="a"):
    return Came(id=f"{number}", time=time, host=host, size=size)


class Ring:
    """One place for each bucket; what an event of a newer turn finds there is gone."""

    def __init__(self, bucket, windows, lateness_us):
        self.bucket, self.windows = bucket, windows
        self.length = -(-(max(windows) + lateness_us) // bucket) + 1
        self.places = {}

    def observe(self, time, size):
        number = time // self.bucket
        held, n, total = self.places.get(number % self.length, (-1, 0, 0.0))
        if held < number:
            held, n, total = number, 0, 0.0
        if held == number:
            self.places[number % self.length] = (held, n + 1, total + size)

    def read(self, now):
        newest, values = now // self.bucket, []
        for window in self.windows:
            n, total = 0, 0.0
            for back in range(window // self.bucket):
                held, more, size = self.places.get((newest - back) % self.length, (-1, 0, 0.0))
                if held == newest - back:
                    n, total = n + more, total + size
            values += [float(n), total]
        return values


gaps = st.sampled_from([0, 0, 7, 7, 41, 60, 301, 3_600])
steps = st.lists(st.tuples(st.sampled_from("eeeeq"), gaps, st.integers(0, 100)), max_size=120)


@pytest.mark.parametrize(
    ("windows", "bucket", "also"),
    [
        (("5m",), None, ()),
        (("10m",), "1m", ()),
        (("1m", "4m"), "20s", ()),
        (("5m",), None, ("2h",)),  # another feature's window lets requests be two hours late
        (("40m",), "10s", ()),
    ],
)
@given(steps=steps)
@settings(deadline=None, max_examples=60)
def test_a_ring_given_or_of_one_window_holds_what_a_place_for_each_bucket_would(
    windows, bucket, also, steps
):
    """However late an event or a request: logs of before must go on byte for byte."""
    features = [rolling(windows=windows, bucket=bucket)]
    if also:
        features.append(rolling(windows=also, stats=(Count("other"),)))
    stream = stream_of(*features, lateness="30s")
    state = FeatureState(stream)
    lengths = [Duration.parse(window) for window in windows]
    ring = Ring(Duration.parse(bucket) if bucket else lengths[0] // 60, lengths, 30 * SECOND_US)
    too_late = 30 * SECOND_US + stream.horizon_us
    high = START_US
    for number, (kind, gap, late) in enumerate(steps):
        high += gap * SECOND_US
        time = high - (late > 60) * (late - 60) * too_late // 40
        if kind == "q":
            assert read(state, stream, time)[: 2 * len(windows)] == ring.read(time)
        else:
            state.observe(came(number, time, size=number / 8))
            ring.observe(time, number / 8)
        if number % 17 == 7:
            other = FeatureState(stream)
            other.restore(state.snapshot())
            assert other.snapshot() == state.snapshot()
            state = other
    for back in range(0, too_late, max(too_late // 7, 1)):
        assert read(state, stream, high - back)[: 2 * len(windows)] == ring.read(high - back)


@given(steps=steps)
@settings(deadline=None, max_examples=60)
def test_each_of_several_windows_has_a_resolution_of_its_own(steps):
    """Against the list of all events; requests come in time."""
    windows = ("1m", "5m", "1h", "7d")
    stream = stream_of(rolling(windows=windows), lateness="30s")
    state, seen, high = FeatureState(stream), [], START_US
    for number, (kind, gap, late) in enumerate(steps):
        high += gap * SECOND_US
        if kind == "e":
            event = came(number, high - (late > 60) * late * SECOND_US // 4, size=number / 8)
            state.observe(event)
            seen.append(event)
            continue
        want = []
        for window in map(Duration.parse, windows):
            bucket = window // 60
            held = [e for e in seen if high // bucket - 60 < e.time // bucket <= high // bucket]
            want += [len(held), sum(e.size for e in held)]
        assert read(state, stream, high) == want


def test_a_window_that_sixty_does_not_divide_has_the_next_smaller_buckets():
    stream = stream_of(rolling(windows=("100s",)))
    state = FeatureState(stream)
    for second in range(200):
        state.observe(came(second, START_US + second * SECOND_US))
    part = 100 * SECOND_US // 64
    now = START_US + 199 * SECOND_US
    held = [s for s in range(200) if (START_US + s * SECOND_US) // part > now // part - 64]
    assert read(state, stream, now)[0] == len(held)


def cells(stream, times, hosts=("a",)):
    """Numbers of 8 bytes that the state holds after events at these times."""
    state = FeatureState(stream)
    for number, time in enumerate(times):
        for host in hosts:
            state.observe(came(number, time, host=host))
    return state._arena._end


def test_a_key_costs_what_it_holds_and_never_more_than_its_buckets():
    stream = stream_of(rolling(windows=("5m", "1h", "24h", "7d")))
    bucket = 3  # its number, a count and a sum
    one = cells(stream, [START_US])
    assert one == 4 * (4 + 4 * bucket)
    busy = cells(stream, range(START_US, START_US + 8 * 24 * 60 * MINUTE_US, 5 * SECOND_US * 7))
    rooms = 4 + 16 + 69
    assert busy <= 4 * (3 * 4 + rooms * bucket)


def test_a_key_that_is_seldom_seen_drops_the_buckets_that_nobody_can_see():
    stream = stream_of(rolling(windows=("5m", "1h")))
    seldom = range(START_US, START_US + 500 * 50 * MINUTE_US, 50 * MINUTE_US)
    assert cells(stream, seldom) == cells(stream, seldom[:1])


def test_keys_that_end_leave_their_room_to_others():
    stream = stream_of(rolling(windows=("5m",)))
    state, sizes = FeatureState(stream), defaultdict(set)
    for turn in range(6):
        start = START_US + turn * 600 * MINUTE_US
        for number in range(400):
            time = start + number * SECOND_US
            state.observe(came(number, time, host=f"{turn}-{number % 9}"))
        sizes[turn > 0].add(state._arena._end)
        state.forget(start + 500 * MINUTE_US)
    assert sizes[True] == sizes[False]
