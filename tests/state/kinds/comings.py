"""Hosts to which things come: a small world for the kinds of feature."""

import numpy as np
from hypothesis import strategies as st

from state.events import SECOND_US, Event
from state.features import Labelled
from state.stream import Label, Stream
from state.vector.feature_state import FeatureState

START_US = 1_700_000_000_000_000


class Asked(Event, frozen=True, kw_only=True):
    host: str
    zone: str = "north"
    price: float | None = None


class Came(Event, frozen=True, kw_only=True):
    host: str
    node: str = ""
    size: float | None = None
    page: str | None = None
    rank: int = 0
    speed: float = 0.0


LABEL = Label(
    on=Came,
    of="host",
    value=lambda _: True,
    deadline=lambda asked: asked.time,
    silence=False,
    delay="1h",
)


def stream_of(*features, **changes):
    given = {"lateness": "30s", "dedup": "40d"} | changes
    return Stream("comings", (Asked, Came), Asked, LABEL, features, **given)


def names_of(stream):
    return [column.name for column in stream.columns]


def read(state, stream, time, host="a", **fields):
    """The vector of a request, by column."""
    row = np.full(len(stream.columns), -7.0)
    state.read(Asked(id="r", time=time, host=host, **fields), row)
    return dict(zip(names_of(stream), row.tolist(), strict=True))


def came(number, time, host="a", **fields):
    return Came(id=f"{number}", time=time, host=host, **fields)


def labelled(time, label=1, host="a", **fields):
    return Labelled(Asked(id="l", time=time, host=host, **fields), label, time)


gaps = st.sampled_from([0, 0, 1, 7, 41, 60, 301, 3_600])
steps = st.lists(
    st.tuples(gaps, st.integers(0, 100), st.sampled_from("ab"), st.integers(0, 12)), max_size=150
)


def played(stream, steps, event_of, expected, most_late_s=600):
    """Observe events, some late, restore now and then, and compare before each with all there were.

    Args:
        stream: Whose features.
        steps: Drawn.
        event_of: An event from (number, time, host, value).
        expected: The columns, from all events in order of arrival, time and host.
        most_late_s: Largest lateness of events, seconds.
    """
    state, seen, high = FeatureState(stream), [], START_US
    for number, (gap, late, host, value) in enumerate(steps):
        high += gap * SECOND_US
        got, want = read(state, stream, high, host), expected(seen, high, host)
        np.testing.assert_equal(got, want)
        event = event_of(
            number, high - max(late - 60, 0) * most_late_s * SECOND_US // 40, host, value
        )
        state.observe(event)
        seen.append(event)
        if number % 17 == 7:
            other = FeatureState(stream)
            other.restore(state.snapshot())
            assert other.snapshot() == state.snapshot()
            state = other
    return state
