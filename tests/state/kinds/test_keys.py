"""Keys whose fields are called differently on requests and on events."""

import pytest

from state.features import Count, Distinct, Ewma, Labelled, Last, Latest, Mean, Rolling, SinceLast
from state.stream import StreamError
from state.vector.feature_state import FeatureState
from tests.state.kinds.comings import START_US, Came, came, labelled, read, stream_of

BY = {"host": "node"}


def features(by, over=Came):
    return (
        Rolling(over, by, ("1h",), (Count("n"),)),
        Ewma("usual", over, by, lambda _: 4.0, rate=1.0, prior=0.0, forget="1d"),
        Distinct("kinds", over, by, lambda _: "x", ("1h",)),
        SinceLast("quiet", over, by),
        Latest(over, by, (5,), (Mean("one", lambda _: 1.0),)),
    )


HIT = {
    "host_n_1h": 1.0, "usual": 4.0, "host_kinds_1h": 1.0, "quiet": 0.0, "host_one_last5": 1.0,
}  # fmt: skip


def seen(got):
    return {name: got[name] for name in HIT}


def test_every_kind_finds_the_event_s_field_by_the_request_s():
    stream = stream_of(*features(BY), Last(Came, BY, ("speed",), "1d"))
    state = FeatureState(stream)
    state.observe(came(0, START_US, host="b", node="a", speed=9.0))
    assert read(state, stream, START_US, host="a") == HIT | {"speed": 9.0}
    assert read(state, stream, START_US, host="b")["host_n_1h"] == 0.0


def test_the_same_key_by_two_names_on_one_event_is_two_keys():
    stream = stream_of(
        Rolling(Came, ("host",), ("1h",), (Count("ours"),)),
        Rolling(Came, BY, ("1h",), (Count("theirs"),)),
        Rolling(Came, {"zone": "node"}, ("1h",), (Count("zones"),)),
        Rolling(Came, {"host": "host", "zone": "node"}, ("1h",), (Count("both"),)),
    )
    state = FeatureState(stream)
    for number, (host, node) in enumerate([("a", "b"), ("a", "a"), ("b", "a"), ("b", "south")]):
        state.observe(came(number, START_US, host=host, node=node))
    assert read(state, stream, START_US, host="a", zone="b") == {
        "host_ours_1h": 2, "host_theirs_1h": 2, "zone_zones_1h": 1, "host_zone_both_1h": 1,
    }  # fmt: skip
    other = FeatureState(stream)
    other.restore(state.snapshot())
    assert other.snapshot() == state.snapshot()
    assert read(other, stream, START_US, host="b", zone="south") == {
        "host_ours_1h": 2, "host_theirs_1h": 1, "zone_zones_1h": 1, "host_zone_both_1h": 1,
    }  # fmt: skip


def test_of_a_label_it_is_the_other_request_s_field():
    stream = stream_of(*features({"host": "zone"}, Labelled))
    state = FeatureState(stream)
    state.observe(labelled(START_US, host="b", zone="a"))
    assert seen(read(state, stream, START_US, host="a")) == HIT


@pytest.mark.parametrize(
    ("by", "message"),
    [
        ("host", r"by must be a tuple of field names; got 'host' in Rolling: write \('host',\)"),
        (("host"), "by must be a tuple of field names"),
        (None, "by must be a tuple of field names; got None in Rolling"),
        ((5,), "by must be a tuple of field names"),
        ({"host": 5}, "by must be a tuple of field names"),
        ({"host": "nodes"}, "names field 'nodes' that Came lacks"),
        ({"hosts": "node"}, "names field 'hosts' that Asked lacks"),
        (
            {"host": "rank"},
            r"pair texts with texts .*; got 'host' of Asked \(str\) and 'rank' of Came \(int",
        ),
        ({"price": "rank"}, "'price' of Asked must be a text or a number, never null"),
    ],
)
def test_a_key_that_never_fits_is_refused(by, message):
    with pytest.raises(StreamError, match=message):
        stream_of(Rolling(Came, by, ("1h",), (Count("n"),)))


def test_a_list_is_as_good_as_a_tuple():
    stream = stream_of(Rolling(Came, ["host"], ["1h"], [Count("n")]))
    state = FeatureState(stream)
    state.observe(came(0, START_US))
    assert read(state, stream, START_US) == {"host_n_1h": 1}
