"""The same log gives the same bytes: however it is cut, stopped and continued."""

from itertools import islice

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.streams import flights, flights_history
from operators.shard.messages import Activation, Boundary, Finish, Records
from operators.shard.shard import TOPICS, VERSION, Shard
from state.outputs.prediction_chain import first_unlinked
from state.outputs.records import Prediction
from state.settings import Settings
from tests.operators.shard_runs import Run, feed, rides_shard
from tests.rides import numbered, records

RECORDS = records(250)
OTHERS = {90: [Boundary(RECORDS[90].append_time)], 170: [Boundary(RECORDS[170].append_time)]}
END = len(RECORDS)
places = st.integers(0, END)


def all_of(run):
    return run.written, run.cuts, run.shard.snapshot()


@pytest.fixture(scope="module")
def whole():
    return all_of(feed(Run(rides_shard()), RECORDS, others=OTHERS))


def test_the_stream_of_these_tests_shows_everything(whole):
    written, cuts, _ = whole
    for reason in (b'"duplicate"', b'"late"', b'"clock_skew"'):
        assert any(reason in entry.value for entry in written["dead_letters"])
    assert written["alerts"]
    assert len(written["predictions"]) > 150
    assert first_unlinked(entry.value for entry in written["predictions"]) is None
    assert len(written["metrics"]) > 10
    assert [cut.number for cut in cuts] == [0, 1]
    assert 0 < cuts[0].end == cuts[1].first < cuts[1].end


@pytest.mark.parametrize("size", [1, 7, 500])
def test_batches_of_one_size_give_the_same_bytes(whole, size):
    run = feed(Run(rides_shard()), RECORDS, range(0, END, size), OTHERS)
    assert all_of(run) == whole


@given(cuts=st.sets(places))
@settings(deadline=None, max_examples=25)
def test_batches_cut_anywhere_give_the_same_bytes(whole, cuts):
    assert all_of(feed(Run(rides_shard()), RECORDS, cuts, OTHERS)) == whole


def test_flights_cut_anywhere_give_the_same_bytes():
    values = list(islice(flights_history.events(), 3_000))
    peek = flights.stream.peek()
    log = numbered((peek(value)[0], b"", value) for value in values)

    def run(size):
        shard = Shard(flights.stream, Settings(), 0)
        return all_of(feed(Run(shard), log, range(0, len(log), size)))

    whole = run(500)
    assert len(whole[0]["outcomes"]) > 500
    assert run(1) == run(7) == run(3_000) == whole


def test_empty_batches_and_the_end_change_nothing(whole):
    others = {place: [Records([]), Finish()] for place in range(0, END, 10)}
    others[90] = [Records([]), *OTHERS[90], Finish()]
    others[170] = OTHERS[170]
    assert all_of(feed(Run(rides_shard()), RECORDS, others=others)) == whole


garbage = st.one_of(
    st.none(),  # gone
    st.binary(max_size=50),
    st.sampled_from(RECORDS).map(lambda record: record.value),
    st.tuples(
        st.sampled_from([b'"time":', b'"late":', b'"driver":', b'"price":', b'"pickup":']),
        st.integers(0, 10**17),
    ),
    st.sampled_from([b"asked", b"ended", b"rain"]),
)


def corrupted(value, how):
    match how:
        case None:
            return b""
        case (name, number):
            before, found, after = value.partition(name)
            return before + found + str(number).encode() + after[after.find(b",") :]
        case b"asked" | b"ended" | b"rain":
            return value.replace(b"ended", how).replace(b"asked", how)
        case _:
            return how


@given(
    since=places,
    how=st.lists(garbage, min_size=1, max_size=8),
    jump=st.integers(0, 10**12),
    cuts=st.sets(places, max_size=4),
)
@settings(deadline=None, max_examples=40)
def test_no_prediction_knows_what_comes_after_it(whole, since, how, jump, cuts):
    changed = RECORDS[:since] + [
        record._replace(
            append_time=record.append_time + jump,
            value=corrupted(record.value, how[i % len(how)]),
        )
        for i, record in enumerate(RECORDS[since:])
    ]
    before = feed(Run(rides_shard()), RECORDS[:since], others=OTHERS).written
    run = feed(Run(rides_shard()), changed, {*cuts} - {since}, OTHERS)
    for topic in TOPICS:
        assert run.written[topic][: len(before[topic])] == before[topic], topic
    later = run.values("predictions")[len(before["predictions"]) :]
    assert all(msgspec.json.decode(value)["offset"] >= since for value in later)
    assert before["predictions"] == whole[0]["predictions"][: len(before["predictions"])]


def resumed(first, load=None):
    """Another shard, started from the bytes of this one's, with what was written so far."""
    state = first.shard.snapshot()
    second = Run(rides_shard())
    second.shard.restore(state, lambda model: load(second.shard, model))
    assert second.shard.snapshot() == state
    assert second.shard.counters == {topic: len(first.written[topic]) for topic in TOPICS}
    second.written, second.cuts = first.written, first.cuts
    return second


def after(place, others):
    return {at: messages for at, messages in others.items() if at > place}


@given(at=places, cuts=st.sets(places, max_size=3))
@settings(deadline=None, max_examples=30)
def test_going_on_from_a_snapshot_is_as_never_having_stopped(whole, at, cuts):
    first = feed(Run(rides_shard()), RECORDS[:at], others=OTHERS)
    second = feed(resumed(first), RECORDS, cuts, after(at, OTHERS))
    assert all_of(second) == whole


@given(at=places, active=st.tuples(places, places).map(sorted))
@settings(deadline=None, max_examples=25)
def test_going_on_with_an_offline_model_is_as_never_having_stopped(offline, at, active):
    def with_models(shard):
        others = {place: list(messages) for place, messages in OTHERS.items()}
        for number, place in enumerate(active):
            model = offline(shard, f"gbm-{number}")
            others.setdefault(place, []).append(Activation(number, model.model, model))
        return others

    whole = Run(rides_shard())
    feed(whole, RECORDS, others=with_models(whole.shard))
    first = Run(rides_shard())
    feed(first, RECORDS[:at], others=with_models(first.shard))
    second = resumed(first, offline)
    feed(second, RECORDS, others=after(at, with_models(second.shard)))
    assert all_of(second) == all_of(whole)
    scored = [msgspec.json.decode(value, type=Prediction) for value in whole.values("predictions")]
    assert [one.model for one in scored] == [
        None if one.offset < active[0] else "gbm-0" if one.offset < active[1] else "gbm-1"
        for one in scored
    ]
    assert all((one.model is None) == (one.offline is None) for one in scored)


def test_a_model_is_bound_to_levels_that_appear_after_it(offline):
    run = Run(rides_shard())
    bound = offline(run.shard)
    feed(run, RECORDS[:1], others={0: [Activation(0, "gbm-1", bound)]})
    feed(run, RECORDS)
    later = offline(run.shard)
    rows = run.shard._pending.rows
    assert [bound.predict(row) for row in rows] == [later.predict(row) for row in rows]


def test_another_version_of_the_bytes_is_refused():
    state = msgspec.msgpack.decode(rides_shard().snapshot())
    state[0] += 1
    with pytest.raises(
        ValueError, match=f"shard state must be of version {VERSION}; got {VERSION + 1}"
    ):
        rides_shard().restore(msgspec.msgpack.encode(state), None)
