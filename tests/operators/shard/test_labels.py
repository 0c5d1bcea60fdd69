"""A label meets its request whichever comes first, or it is told that it did not."""

from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.shard.messages import Boundary, Quiet
from operators.shard.shard import Shard
from state.events import MINUTE_US
from state.outputs.records import Alert, DeadLetter, Metrics
from state.settings import Settings
from state.stream import StreamError
from tests.asks import Ask, ask, by_key, label, log, minute, stream_of, tell
from tests.operators.shard_runs import Run, feed


def run_of(*events, of=None, **changes):
    return feed(Run(Shard(stream_of(of, **changes), Settings(), 0)), log(*events))


def told(run):
    """Label and minute at which it became known, by request."""
    outcomes = [msgspec.json.decode(value) for value in run.values("outcomes")]
    assert len({one["id"] for one in outcomes}) == len(outcomes)
    since = minute(0)
    return {o["id"]: (o["label"], (o["label_time"] - since) / MINUTE_US) for o in outcomes}


def letters(run):
    found = [msgspec.json.decode(v, type=DeadLetter) for v in run.values("dead_letters")]
    return [(one.reason, one.offset, one.detail) for one in found]


def alerts(run):
    return [msgspec.json.decode(value, type=Alert) for value in run.values("alerts")]


def test_a_label_that_comes_one_record_before_its_request_is_its_label():
    run = run_of(tell("a", 1), ask("a", 0), ask("b", 30))
    assert told(run) == {"a": (1, 1)}
    assert letters(run) == []
    assert run.shard._labels.early == 0


def test_it_is_learned_as_if_it_had_come_just_after():
    early = run_of(ask("x", 0), tell("x", 1, yes=False), tell("a", 3), ask("a", 2), ask("b", 4))
    late = run_of(ask("x", 0), tell("x", 1, yes=False), ask("a", 2), tell("a", 3), ask("b", 4))
    scored = [[msgspec.json.decode(v)["probability"] for v in r.values("predictions")]
              for r in (early, late)]  # fmt: skip
    assert scored[0] == scored[1]
    assert len(set(scored[0])) == 3
    assert told(early) == told(late) == {"x": (0, 1), "a": (1, 3)}


def test_it_waits_as_long_as_lateness_and_delay_together_and_is_then_unmatched():
    changes = {"lateness": "5m", "dedup": "65m"}
    early = tell("a", 0)
    met = run_of(early, ask("other", 14.9), ask("a", 0), **changes)
    assert told(met)["a"] == (1, 0)
    given_up = run_of(early, ask("other", 15), ask("a", 0), **changes)
    assert letters(given_up) == [("unmatched", 0, "its request did not come within 15m: 'a'")]
    letter = msgspec.json.decode(given_up.values("dead_letters")[0], type=DeadLetter)
    assert letter.raw == log(early)[0].value
    assert letter.size == len(letter.raw)


def test_all_labels_with_a_wrong_id_are_unmatched_and_an_alert_says_so_once():
    events = []
    for n in range(192):
        events += [ask(f"a{n}", 2 * n), tell(f"wrong {n}", 2 * n + 1)]
    run = run_of(*events, ask("last", 1000))
    assert Counter(reason for reason, *_ in letters(run)) == {"unmatched": 192}
    assert set(told(run).values()) == {(0, 2 * n + 10) for n in range(192)}
    (alert,) = alerts(run)
    assert alert.kind == "labels_by_silence"
    assert "Tell events met no request: does Tell.of name requests" in alert.message
    metrics = [msgspec.json.decode(v, type=Metrics) for v in run.values("metrics")]
    assert metrics[-1].dead_letters["unmatched"] > 180


@pytest.mark.parametrize("of", ["tell", "seen"])
def test_an_id_that_is_no_requests_is_unmatched_too(of):
    name = "tell" if of == "tell" else "own"
    run = run_of(tell("a", 0, name="seen"), ask("a", 0), tell(of, 1, name=name), ask("b", 30))
    assert [(reason, offset) for reason, offset, _ in letters(run)] == [("unmatched", 2)]


def test_labels_that_come_after_all_their_requests_are_unmatched_unless_silence_said_the_same():
    asks = [ask(f"a{n}", n) for n in range(50)]
    tells = [tell(f"a{n}", n + 0.5, yes=n % 2 == 0) for n in range(30)]
    run = run_of(*asks, *tells)
    assert [offset for _, offset, _ in letters(run)] == [50 + n for n in range(0, 30, 2)]
    assert letters(run)[0][2] == "came after the deadline of its request: 'a0'"
    assert [alert.kind for alert in alerts(run)] == ["labels_by_silence"]


def test_a_label_of_after_the_deadline_is_silence_by_definition_and_no_letter():
    run = run_of(ask("a", 0), tell("a", 10), ask("b", 20), tell("b", 31), ask("c", 50))
    assert told(run) == {"a": (0, 10), "b": (0, 30)}
    assert letters(run) == []


def test_where_all_labels_are_of_after_the_deadline_the_alert_says_so():
    pairs = [(ask(f"a{n}", 20 * n), tell(f"a{n}", 20 * n + 11)) for n in range(20)]
    run = run_of(*(event for pair in pairs for event in pair))
    assert letters(run) == []
    assert len(alerts(run)) == 1


def test_a_stream_that_tells_one_kind_only_has_no_alert():
    events = []
    for n in range(300):
        events += [ask(f"a{n}", 2 * n), *([tell(f"a{n}", 2 * n + 1)] if n % 20 == 0 else [])]
    run = run_of(*events)
    assert Counter(one for one, _ in told(run).values()) == {0: 280, 1: 15}
    assert alerts(run) == []


def test_the_deadline_is_exclusive():
    assert told(run_of(ask("a", 0), tell("a", 9.999)))["a"][0] == 1
    assert told(run_of(ask("a", 0), tell("a", 10)))["a"] == (0, 10)
    assert told(run_of(tell("a", 9.999), ask("a", 0)))["a"][0] == 1
    early = run_of(tell("a", 10), ask("a", 0), ask("b", 11))
    assert told(early)["a"] == (0, 10)
    assert letters(early) == []


def test_the_first_of_several_labels_counts_wherever_they_come():
    first, second = tell("a", 1), tell("a", 2, yes=False)
    for events in ((first, second, ask("a", 0)), (first, ask("a", 0), second)):
        run = run_of(*events, ask("b", 60))
        assert told(run)["a"] == (1, 1)
        assert letters(run) == []


def test_an_unknown_label_is_forgotten_counted_and_not_learned():
    run = run_of(
        ask("a", 0), ask("b", 1), tell("b", 2), ask("c", 90), ask("d", 200), of=label(silence=None)
    )
    assert told(run) == {"b": (1, 2)}
    (*_, last) = (msgspec.json.decode(v, type=Metrics) for v in run.values("metrics"))
    assert (last.requests, last.labels, last.unlabelled, last.pending) == (4, 1, 2, 1)
    known = run_of(ask("b", 1), tell("b", 2), of=label(silence=None))
    learners = [one.shard._parts()["learners"].snapshot() for one in (run, known)]
    assert learners[0] == learners[1]


def test_a_late_label_of_an_unknown_one_is_unmatched_whatever_it_says():
    run = run_of(ask("a", 0), ask("b", 60), tell("a", 5, yes=False), of=label(silence=None))
    assert [(reason, offset) for reason, offset, _ in letters(run)] == [("unmatched", 2)]


def test_the_next_event_of_a_key_labels_all_that_wait_for_it():
    run = run_of(
        ask("a", 0), ask("b", 1), ask("other", 1, shop="z"), tell("", 2), ask("c", 3),
        tell("", 4, yes=False), ask("end", 60), of=by_key(),
    )  # fmt: skip
    assert told(run) == {"a": (1, 2), "b": (1, 2), "c": (0, 4), "other": (0, 11)}
    assert letters(run) == []


def test_a_request_may_be_the_label_of_those_before_it_and_never_of_itself():
    dearer = by_key(on=Ask, value=lambda event, request: event.amount > request.amount)
    run = run_of(
        ask("a", 0, amount=2.0), ask("b", 1, amount=1.0), ask("c", 2, amount=3.0),
        ask("z", 3, shop="z"), of=dearer, events=(Ask,),
    )  # fmt: skip
    assert told(run) == {"a": (0, 1), "b": (1, 2)}
    assert run.shard._counts.requests == 4


def test_keys_may_have_other_names_on_the_event():
    answers = label(of=None, on=Ask, by={"buyer": "shop"}, value=lambda _: True)
    run = run_of(
        ask("a", 0, shop="ann", buyer="bob"), ask("b", 1, shop="cid", buyer="bob"),
        ask("c", 2, shop="bob", buyer="ann"), ask("d", 30, shop="x", buyer="y"),
        of=answers, events=(Ask,),
    )  # fmt: skip
    assert told(run) == {"a": (1, 2), "b": (1, 2), "c": (0, 12)}


def test_without_a_field_all_share_one_key():
    run = run_of(ask("a", 0, shop="x"), tell("", 1, shop="y"), of=label(of=None, by=()))
    assert told(run) == {"a": (1, 1)}


def test_by_key_an_event_before_the_request_is_no_label_and_a_late_request_finds_its_own():
    changes = {"of": by_key(), "lateness": "5m", "dedup": "65m"}
    run = run_of(ask("a", 3), tell("", 2), tell("", 4), **changes)
    assert told(run) == {"a": (1, 4)}
    run = run_of(tell("", 3, yes=False), tell("", 4), ask("a", 2), ask("b", 3.5), **changes)
    assert told(run) == {"a": (0, 3), "b": (1, 4)}
    run = run_of(tell("", 3), ask("x", 8, shop="z"), ask("a", 2), **changes)
    assert "a" not in told(run)
    assert letters(run) == []


def test_a_value_of_two_that_is_no_truth_ends_the_run_with_both_ids():
    odd = by_key(value=lambda event, request: event.time - request.time)
    with pytest.raises(StreamError, match="got 60000000 of event 'tell  1' for request 'a'"):
        run_of(ask("a", 0), tell("", 1), of=odd)


def test_requests_without_a_label_by_key_leave_nothing_behind():
    run = run_of(*(ask(f"a{n}", n, shop=f"s{n}") for n in range(100)), of=by_key(silence=None))
    assert len(run.shard._labels._by_key) == len(run.shard._pending) == 10


def test_a_quiet_partition_lets_go_of_requests_once_a_boundary_has_passed_them():
    run = run_of(tell("nobody", 0), ask("a", 0), ask("b", 5), tell("later", 5))
    run.take(Boundary(minute(12), 0))
    assert told(run) == {}
    run.take(Quiet(minute(12), 1))
    assert told(run) == {"a": (0, 10)}
    assert [offset for _, offset, _ in letters(run)] == [0]
    assert run.shard.position.activations == 2
    run.take(Quiet(minute(300), 2))
    assert told(run) == {"a": (0, 10), "b": (0, 15)}
    assert [offset for _, offset, _ in letters(run)] == [0, 3]
    feed(run, log(tell("nobody", 0), ask("a", 0), ask("b", 5), tell("later", 5), ask("c", 6)))
    assert len(run.values("predictions")) == 3  # nothing is late for that


# Requests ten minutes apart and labels within them, moved by less than the lateness.
MOVES = st.lists(st.tuples(st.floats(0, 29), st.floats(0, 29)), min_size=12, max_size=12)


@given(
    moves=MOVES,
    after=st.lists(st.floats(0, 9.9), min_size=12, max_size=12),
    cuts=st.sets(st.integers(0, 25), max_size=3),
)
@settings(deadline=None, max_examples=60)
def test_any_order_within_lateness_gives_the_same_labels(moves, after, cuts):
    events = []
    for n, ((asked, tells), later) in enumerate(zip(moves, after, strict=True)):
        events.append((7 * n + asked, ask(f"a{n}", 7 * n)))
        events.append((7 * n + later + tells, tell(f"a{n}", 7 * n + later, yes=n % 3 == 0)))
    arrived = [event for _, event in sorted(events, key=lambda pair: pair[0])]
    changes = {"lateness": "30m", "dedup": "2h"}
    in_time = sorted((event for _, event in events), key=lambda event: event.time)
    assert told(run_of(*arrived, **changes)) == told(run_of(*in_time, **changes))
    assert letters(run_of(*arrived, **changes)) == []
    records = log(*arrived)
    run = Run(Shard(stream_of(**changes), Settings(), 0))
    for cut in sorted(cuts):
        feed(run, records[:cut])
        again = Shard(stream_of(**changes), Settings(), 0)
        again.restore(run.shard.snapshot(), lambda _: None)
        run.shard = again
    feed(run, records)
    assert run.written == run_of(*arrived, **changes).written


@given(
    st.lists(
        st.tuples(
            st.booleans(), st.sampled_from("abcdef"), st.floats(0, 60), st.floats(0, 20),
            st.booleans(),
        ),
        max_size=40,
    ),
    st.sampled_from([True, False, None]),
)  # fmt: skip
@settings(deadline=None, max_examples=100)
def test_every_label_event_labels_is_ignored_for_a_reason_or_is_a_letter(drawn, silence):
    events, names = [], set()
    for n, (is_ask, name, at, lag, yes) in enumerate(drawn):
        if is_ask and name not in names:
            names.add(name)
            events.append((at + lag, ask(name, at)))
        elif not is_ask:
            events.append((at + lag, tell(name, at, yes=yes, name=f"t{n}")))
    ordered = [event for _, event in sorted(events, key=lambda pair: pair[0])]
    run = run_of(*ordered, ask("end", 500), of=label(silence=silence))
    asked = {event.id for event in ordered if isinstance(event, Ask)}
    buried = {offset for _, offset, _ in letters(run)}
    assert len(buried) == len(letters(run))
    nobodys = {
        n for n, event in enumerate(ordered) if not isinstance(event, Ask) and event.of not in asked
    }
    assert nobodys <= buried
    outcomes = told(run)
    unlabelled = run.shard._labels.unlabelled
    assert len(outcomes) + unlabelled == len(asked)
    assert bool(unlabelled) <= (silence is None)
    assert run.shard._labels.early == 0
