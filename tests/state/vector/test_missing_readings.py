"""A missing reading counts as an event, but in no mean."""

import math

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from state.events import MINUTE_US, Event
from state.features import Count, Ewma, Mean, Rate, Rolling, Sum
from state.stream import Label, Stream
from state.vector.feature_state import FeatureState

START_US = 1_700_000_000_000_000
RATE, USUAL = 0.25, 2.0


class Asked(Event, frozen=True, kw_only=True):
    host: str


class Came(Event, frozen=True, kw_only=True):
    host: str
    size: float | None
    full: bool | None
    speed: float


class Went(Event, frozen=True, kw_only=True):
    host: str
    size: float
    full: bool
    speed: float


def root(event):
    """Missing for what has no root; like all functions it may be, for all that is declared."""
    return math.sqrt(event.speed) if event.speed >= 0 else math.nan


def fast(event) -> bool:
    return event.speed > 3


def declared_in_text(event) -> "bool":
    return event.speed > 3


STREAM = Stream(
    name="comings",
    events=(Asked, Came, Went),
    request=Asked,
    label=Label(
        on=Went,
        of="host",
        value=fast,
        deadline=lambda asked: asked.time,
        silence=False,
        delay="1h",
    ),
    features=(
        Rolling(
            over=Came,
            by=("host",),
            windows=("2m", "10m"),
            stats=(
                Mean("size", "size"),
                Count("came"),
                Mean("speed", "speed", prior=2.0, strength=3.0),
                Rate("full", "full", prior=0.4, strength=2.0),
                Sum("sizes", "size"),
                Mean("root", root, prior=1.0, strength=0.5),
                Rate("fast", fast),
            ),
        ),
        Rolling(
            over={Came: 1, Went: -1},
            by=(),
            windows=("10m",),
            stats=(Count("inside"), Mean("inside_size", "size", prior=1.0, strength=100.0)),
        ),
        Ewma("usual_size", Came, ("host",), "size", rate=RATE, prior=USUAL, forget="5m"),
    ),
)  # fmt: skip


def mean(values, prior=0.0, strength=0.0):
    weight = len(values) + strength
    return (sum(values) + prior * strength) / weight if weight else math.nan


def there(values):
    return [v for v in values if v is not None and not math.isnan(v)]


def usual(came, now):
    average, touched = USUAL, -math.inf
    for event in came:
        if event.time - touched > 5 * MINUTE_US:
            average = USUAL
        if event.size is not None:
            average += RATE * (event.size - average)
        touched = max(touched, event.time)
    return average if now - touched <= 5 * MINUTE_US else USUAL


def expected(seen, request):
    def within(minutes):
        bucket = minutes * MINUTE_US // 60
        newest = request.time // bucket
        oldest = newest - minutes * MINUTE_US // bucket
        return [e for e in seen if oldest < e.time // bucket <= newest]

    values = {}
    for minutes in (2, 10):
        came = [e for e in within(minutes) if isinstance(e, Came) and e.host == request.host]
        values |= {
            f"host_size_{minutes}m": mean(there([e.size for e in came])),
            f"host_came_{minutes}m": len(came),
            f"host_speed_{minutes}m": mean([e.speed for e in came], 2.0, 3.0),
            f"host_full_{minutes}m": mean(there([e.full for e in came]), 0.4, 2.0),
            f"host_sizes_{minutes}m": sum(there([e.size for e in came])),
            f"host_root_{minutes}m": mean(there([root(e) for e in came]), 1.0, 0.5),
            f"host_fast_{minutes}m": mean([e.speed > 3 for e in came], 0.5, 5.0),
        }
    bucket = 10 * MINUTE_US // 60
    newest = request.time // bucket
    moved = [e for e in seen if newest - 60 < e.time // bucket <= newest]
    signed = [(1 if isinstance(e, Came) else -1, e.size) for e in moved]
    weights = [sign for sign, size in signed if size is not None]
    total = sum(sign * size for sign, size in signed if size is not None)
    values["all_inside_10m"] = sum(sign for sign, _ in signed)
    values["all_inside_size_10m"] = (total + 100.0) / (sum(weights) + 100.0)
    mine = [e for e in seen if isinstance(e, Came) and e.host == request.host]
    values["usual_size"] = usual(mine, request.time)
    return values


sizes = st.one_of(st.none(), st.integers(-8, 8).map(lambda n: n / 2))
step = st.tuples(
    st.sampled_from(["came", "came", "went", "ask"]),
    st.sampled_from([0, MINUTE_US // 60, 40 * MINUTE_US // 60, 3 * MINUTE_US, 6 * MINUTE_US]),
    st.sampled_from("ab"),
    sizes,
    st.sampled_from([None, True, False]),
    st.integers(-4, 8).map(float),
)


@given(steps=st.lists(step, max_size=40))
# Each example makes a state: to shrink one would take minutes.
@settings(deadline=None, max_examples=60, phases=(Phase.explicit, Phase.reuse, Phase.generate))
def test_a_mean_is_of_the_readings_there_are_and_a_count_of_all_events(steps):
    state, seen, now = FeatureState(STREAM), [], START_US
    row = np.zeros(len(STREAM.columns))
    names = [column.name for column in STREAM.columns]
    for number, (kind, gap, host, size, full, speed) in enumerate([*steps, *ASK_BOTH]):
        now += gap
        envelope = {"id": f"{number}", "time": now, "host": host}
        if kind == "ask":
            request = Asked(**envelope)
            state.read(request, row)
            want = expected(seen, request)
            assert names == list(want)
            assert row.tolist() == pytest.approx(list(want.values()), rel=1e-12, nan_ok=True)
            continue
        if kind == "came":
            event = Came(**envelope, size=size, full=full, speed=speed)
        else:
            event = Went(**envelope, size=size or 0.0, full=bool(full), speed=speed)
        state.observe(event)
        seen.append(event)


ASK_BOTH = [("ask", 0, host, None, None, 0.0) for host in "ab"]


def room(*stats):
    """The numbers that one key takes."""
    feature = Rolling(Came, ("host",), ("2m",), stats)
    state = FeatureState(Stream("room", STREAM.events, Asked, STREAM.label, (feature,)))
    came = Came(id="1", time=START_US, host="a", size=1.0, full=True, speed=1.0)
    before = len(state.snapshot())
    state.observe(came)
    return (len(state.snapshot()) - before) // 8


def test_only_readings_that_may_be_missing_are_counted():
    buckets = 4  # that a key has room for at first
    alone = room(Count())
    assert room(Mean("s", "speed")) - alone == buckets
    assert room(Rate("f", fast)) - alone == buckets
    assert room(Rate("f", declared_in_text)) - alone == buckets
    assert room(Sum("s", "size")) - alone == buckets
    assert room(Mean("s", "size")) - alone == 2 * buckets
    assert room(Rate("f", "full")) - alone == 2 * buckets
    assert room(Mean("r", root)) - alone == 2 * buckets
