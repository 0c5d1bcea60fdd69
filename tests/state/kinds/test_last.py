"""The newest values of a key, from the list of all that came."""

import math

import pytest
from hypothesis import given, settings

from state.events import MINUTE_US
from state.features import Labelled, Last
from state.stream import StreamError
from tests.state.kinds.comings import Came, came, labelled, names_of, played, steps, stream_of


@given(steps=steps)
@settings(deadline=None, max_examples=60)
def test_the_label_that_became_known_last_is_there_until_it_is_too_old(steps):
    def expected(seen, now, host):
        known = [one for one in seen if one.request.host == host]
        newest = max((one.time for one in known), default=-math.inf)
        label = [one.label for one in known if one.time == newest]
        return {"host_label": label[-1] if label and now - newest <= 60 * MINUTE_US else math.nan}

    stream = stream_of(Last(Labelled, ("host",), ("label",), "1h"))
    played(stream, steps, lambda _, time, host, value: labelled(time, value % 2, host), expected)


@given(steps=steps)
@settings(deadline=None, max_examples=30)
def test_a_null_is_the_newest_value_too(steps):
    def expected(seen, now, host):
        known = [one for one in seen if one.host == host]
        newest = max((one.time for one in known), default=-math.inf)
        last = next((one for one in reversed(known) if one.time == newest), None)
        if last is None or now - newest > 60 * MINUTE_US:
            return {"size": math.nan, "rank": math.nan}
        return {"size": math.nan if last.size is None else last.size, "rank": last.rank}

    def event(number, time, host, value):
        return came(number, time, host, size=None if value % 3 == 0 else value / 2, rank=value)

    played(stream_of(Last(Came, ("host",), ("size", "rank"), "1h")), steps, event, expected)


def test_columns_of_one_field_by_two_keys_have_names_of_their_own():
    features = (
        Last(Came, ("host",), ("size",), "1h"),
        Last(Came, (), ("size", "rank"), "1h", names=("size_anywhere", "rank_anywhere")),
        Last(Labelled, (), ("label",), "1h"),
    )
    expected = ["size", "size_anywhere", "rank_anywhere", "all_label"]
    assert names_of(stream_of(*features)) == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"names": ("a", "b")},
            r"names must be one for each of 1 values; got 2 in feature Last\(a",
        ),
        ({"names": "a"}, r"names must be a tuple of texts; got 'a' in Last: write \('a',\)"),
        ({"values": ("label",)}, "names field 'label' that Came lacks"),
        ({"over": Labelled}, "names field 'size' that Labelled lacks"),
        ({"over": Labelled, "values": ("request",)}, "must be a number or null; got any"),
        ({"over": "Came"}, "over must be an event type; got 'Came' in Last"),
    ],
)
def test_a_wrong_definition_is_refused(changes, message):
    given = {"over": Came, "by": ("host",), "values": ("size",), "expires": "1h"}
    with pytest.raises(StreamError, match=message):
        stream_of(Last(**given | changes))
