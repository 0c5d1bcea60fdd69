"""Minutes since the newest event, from the list of all events."""

import math

import pytest
from hypothesis import given, settings

from state.events import MINUTE_US
from state.features import Labelled, SinceLast
from state.stream import StreamError
from state.vector.feature_state import FeatureState
from tests.state.kinds.comings import START_US, Came, came, labelled, played, read, steps, stream_of


@given(steps=steps)
@settings(deadline=None, max_examples=60)
def test_it_is_the_time_since_the_newest_event_while_that_is_remembered(steps):
    def expected(seen, now, host):
        newest = max((e.time for e in seen if e.host == host), default=-math.inf)
        age = (now - newest) / MINUTE_US
        return {"quiet": age if age <= 60 else math.nan}

    stream = stream_of(SinceLast("quiet", Came, ("host",), forget="1h"))
    played(stream, steps, lambda number, time, host, _: came(number, time, host), expected)


def test_to_a_late_request_it_is_no_time_at_all():
    stream = stream_of(SinceLast("quiet", Labelled, ()))
    state = FeatureState(stream)
    state.observe(labelled(START_US))
    assert read(state, stream, START_US - MINUTE_US) == {"quiet": 0.0}
    assert read(state, stream, START_US + 90 * MINUTE_US, host="any") == {"quiet": 90.0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"forget": "soon"}, r"got 'soon' in feature SinceLast\(quiet\)"),
        (
            {"transform": "log"},
            "transform must be one of identity, log1p, logit; got 'log' in Since",
        ),
        ({"by": ("page",)}, "names field 'page' that Asked lacks"),
        ({"name": 5}, "name must be a text; got 5 in SinceLast"),
    ],
)
def test_a_wrong_definition_is_refused(changes, message):
    with pytest.raises(StreamError, match=message):
        stream_of(SinceLast(**{"name": "quiet", "over": Came, "by": ("host",)} | changes))
