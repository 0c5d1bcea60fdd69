"""The rules by which a record changes a shard, one by one."""

import gc
import math
import weakref
from dataclasses import replace

import msgspec
import pytest

from operators.shard.messages import Activation, Boundary, Configuration, Records
from operators.shard.shard import GapError
from state.events import HOUR_US, MINUTE_US, SECOND_US
from state.outputs.records import Alert, DeadLetter, Metrics
from state.settings import settings_from
from tests.operators.shard_runs import Run, feed, rides_shard
from tests.rides import START_US, Asked, Ended, Rain, encode, numbered, records, stream

NOW = START_US + 6 * HOUR_US


def ask(request_id, minute=0, source="", **changes):
    time = NOW + minute * MINUTE_US
    return Asked(**({
        "id": request_id, "time": time, "source": source, "city": "ber", "driver": 1,
        "pickup": time, "arrive": time + 20 * MINUTE_US, "price": 10.0,
    } | changes))  # fmt: skip


def end(of, minute, late=0.0, source=""):
    return Ended(
        id=f"end {of} {minute}", time=NOW + minute * MINUTE_US, source=source, of=of, city="ber",
        driver=1, pickup=NOW + minute * MINUTE_US, late=late,
    )  # fmt: skip


def rain(minute, source=""):
    time = NOW + minute * MINUTE_US
    return Rain(
        id=f"rain {minute} {source}", time=time, source=source, city="ber", fell=1.0, wind=1.0
    )


def log(*events):
    """Each event appended at its time, or at the time in a pair with it."""
    pairs = [event if isinstance(event, tuple) else (event.time, event) for event in events]
    return numbered((time, b"", encode(event)) for time, event in pairs)


def decoded(run, topic, **changes):
    return [msgspec.json.decode(value, **changes) for value in run.values(topic)]


def run_of(*events):
    return feed(Run(rides_shard()), log(*events))


@pytest.mark.parametrize("offset", [0, 1, 3])
def test_a_gap_or_a_repeated_record_is_an_error(offset):
    run = run_of(ask("a"), rain(1))
    record = log(rain(2))[0]._replace(offset=offset)
    with pytest.raises(GapError, match=f"next offset must be 2; got {offset} in partition 0"):
        run.take(Records([record]))


def test_an_outcome_is_the_prediction_with_its_label_and_the_vector_that_was_scored():
    run = run_of(ask("a"), rain(1), end("a", 5, late=9.0))
    (prediction,), (outcome,) = decoded(run, "predictions"), decoded(run, "outcomes")
    assert len(prediction.pop("chain")) == 16
    assert "chain" not in outcome
    assert outcome.items() >= prediction.items()
    assert (outcome["label"], outcome["label_time"]) == (1, NOW + 5 * MINUTE_US)
    assert list(outcome)[len(prediction) + 2 :] == [column.name for column in stream.columns]
    assert outcome["fell"] is None  # what came after the request is not in its vector
    assert (outcome["city"], outcome["car"], outcome["minute_of_day"]) == ("ber", None, 4 * 60)


def test_silence_is_a_label_at_the_deadline_and_not_before():
    deadline = 20 + 10  # minutes: the arrival and ten more
    behind = 5  # the watermark
    early = run_of(ask("a"), rain(deadline + behind - 1))
    assert decoded(early, "outcomes") == []
    run = run_of(ask("a"), rain(deadline + behind), end("a", deadline + behind))
    (outcome,) = decoded(run, "outcomes")
    assert (outcome["label"], outcome["label_time"]) == (1, NOW + deadline * MINUTE_US)


def test_a_label_counts_as_long_as_the_watermark_is_before_the_deadline():
    (outcome,) = decoded(run_of(ask("a"), end("a", 34, late=1.0)), "outcomes")
    assert outcome["label"] == 0


def test_a_second_label_is_an_observation_only():
    run = run_of(ask("a"), end("a", 5), end("a", 6, late=9.0), rain(90), ask("b", 91))
    assert [outcome["label"] for outcome in decoded(run, "outcomes")] == [0]
    assert run.shard._counts.labels == 1


def test_a_label_of_no_request_is_an_observation_only():
    run = run_of(end("nobody", 0), ask("b", 1), end("b", 2))
    (outcome,) = decoded(run, "outcomes")
    assert outcome["all_ended_10m"] == 1.0


def test_a_request_does_not_count_itself():
    run = run_of(ask("a"), ask("b"), end("a", 1), end("b", 1))
    assert [outcome["city_open_20m"] for outcome in decoded(run, "outcomes")] == [0.0, 1.0]


def test_a_pending_request_is_a_duplicate_however_long_ago_it_was():
    label = replace(stream.label, delay="12h")
    run = Run(rides_shard(dedup="125m", label=label))
    again = ask("a", arrive=NOW + 11 * HOUR_US)
    feed(run, log(again, again, rain(3 * 60), rain(6 * 60), rain(9 * 60), (NOW + 9, again)))
    assert [letter["reason"] for letter in decoded(run, "dead_letters")] == ["duplicate"] * 2
    assert len(run.values("predictions")) == 1


def test_an_id_may_come_again_once_it_is_forgotten():
    run = run_of(ask("a"), end("a", 1), rain(9 * 60), ask("a", 9 * 60 + 1))
    assert [prediction["offset"] for prediction in decoded(run, "predictions")] == [0, 3]


def test_a_late_observation_counts_where_it_belongs_and_a_too_late_one_does_not():
    run = run_of(rain(0), (NOW, end("x", -125)), (NOW, end("y", -126)), ask("a"), end("a", 1))
    letters = decoded(run, "dead_letters", type=DeadLetter)
    assert [(letter.reason, letter.offset, letter.detail) for letter in letters] == [
        ("unmatched", 1, "its request did not come within 125m: 'x'"),
        ("late", 2, "7560 s behind the newest"),
    ]
    (outcome,) = decoded(run, "outcomes")
    assert outcome["all_ended_1h"] == 0.0
    late = run_of(rain(0), (NOW, end("x", -40)), ask("a"), end("a", 1))
    assert decoded(late, "outcomes")[0]["all_ended_1h"] == 1.0
    assert decoded(late, "outcomes")[0]["all_ended_10m"] == 0.0


def test_a_lone_jump_of_three_hours_loses_nothing_but_itself():
    usual = records(200)
    i = next(i for i, r in enumerate(usual) if i > 100 and b'"ended"' in r.value)
    event = stream.decoder().decode(usual[i].value)
    ahead = msgspec.structs.replace(event, time=usual[i].append_time + 3 * HOUR_US)
    changed = [r if r.offset != i else r._replace(value=encode(ahead)) for r in usual]
    without = [r if r.offset != i else r._replace(value=b"") for r in usual]
    run, other = (feed(Run(rides_shard()), some) for some in (changed, without))
    assert run.written["predictions"] == other.written["predictions"]
    assert run.written["outcomes"] == other.written["outcomes"]
    (letter,) = [one for one in decoded(run, "dead_letters", type=DeadLetter) if one.offset == i]
    assert (letter.reason, letter.detail) == ("clock_skew", "10800 s ahead of its append time")


def test_a_quarantined_event_may_be_sent_again_with_the_right_time():
    wrong = msgspec.structs.replace(rain(0), time=NOW + 3 * HOUR_US)
    run = run_of((NOW, wrong), rain(0), ask("a"), end("a", 1))
    assert len(run.values("dead_letters")) == 1
    assert decoded(run, "outcomes")[0]["fell"] == 1.0


def test_a_source_that_is_three_hours_ahead_from_somewhere_on_is_put_aside_and_reported():
    calm = [ask(f"a{n}", n) for n in range(120)]
    odd = [
        (NOW + n * MINUTE_US, msgspec.structs.replace(rain(n, "odd"), time=rain(n + 180).time))
        for n in range(60, 120)
    ]
    both = sorted([*((e.time, e) for e in calm), *odd], key=lambda pair: pair[0])
    run, without = run_of(*both), run_of(*calm)
    other = {"offset": 0, "chain": ""}  # they count what was put aside too
    ours, theirs = (decoded(one, "predictions") for one in (run, without))
    assert [value | other for value in ours] == [value | other for value in theirs]
    assert len(run.values("dead_letters")) == 60
    alerts = decoded(run, "alerts", type=Alert)
    assert [(a.kind, a.source, a.time) for a in alerts] == [
        ("clock_ahead", "odd", NOW + 60 * MINUTE_US), ("clock_ahead", "odd", NOW + 90 * MINUTE_US)
    ]  # fmt: skip
    assert "source 'odd' is 10800.000 s ahead" in alerts[0].message


def test_a_source_a_little_ahead_is_taken_and_reported_at_the_end_of_a_span():
    events = [(NOW + n * MINUTE_US - 20 * SECOND_US, rain(n, "odd")) for n in range(31)]
    run = run_of(*events)
    assert run.values("dead_letters") == []
    (alert,) = decoded(run, "alerts", type=Alert)
    assert (alert.time, alert.source) == (NOW + 30 * MINUTE_US - 20 * SECOND_US, "odd")
    assert "20.000 s ahead" in alert.message


def test_metrics_are_the_losses_of_the_outcomes_so_far():
    run = feed(Run(rides_shard()), records(300))
    outcomes, metrics = decoded(run, "outcomes"), decoded(run, "metrics", type=Metrics)
    assert [m.time % (20 * MINUTE_US) for m in metrics] == [0] * len(metrics)
    labels = 0
    for one in metrics:
        for losses, of in (
            (one.total, outcomes[: one.labels]),
            (one.lately, outcomes[labels : one.labels]),
        ):
            if not of:
                assert losses == {}
                continue
            hits = [o["online"] if o["label"] else 1 - o["online"] for o in of]
            assert losses["online"].n == len(hits)
            assert losses["online"].log_loss == pytest.approx(-sum(map(math.log, hits)) / len(hits))
            assert losses["online"].brier == pytest.approx(
                sum((1 - h) ** 2 for h in hits) / len(hits)
            )
        assert one.pending == one.requests - one.labels
        labels = one.labels
    assert sum(metrics[-1].dead_letters.values()) <= len(run.values("dead_letters"))


def test_a_cut_holds_the_outcomes_since_the_one_before_and_is_the_same_when_asked_again():
    run = Run(rides_shard())
    some = records(150)
    feed(run, some[:100])
    first = run.shard.apply(Boundary(1000)).cut
    assert first == run.shard.apply(Boundary(1000)).cut
    assert (first.number, first.first, first.end) == (0, 0, len(run.values("outcomes")))
    feed(run, some)
    second = run.shard.apply(Boundary(2000)).cut
    assert (second.number, second.first, second.end) == (1, first.end, len(run.values("outcomes")))
    assert run.shard.position.boundary == 2000


def test_from_an_activation_on_requests_are_scored_with_that_model(offline, mojo):
    run = Run(rides_shard())
    some = records(300)
    others = {
        100: [Activation(0, "gbm-1", offline(run.shard))],
        400: [Activation(1, None, None)],
    }
    feed(run, some, others=others)
    outcomes = decoded(run, "outcomes")
    used = [o for o in outcomes if 100 <= o["offset"] < 400]
    assert {o["model"] for o in used} == {"gbm-1"}
    assert {o["model"] for o in outcomes if not 100 <= o["offset"] < 400} == {None}
    columns = {name: [o[name] for o in used] for name in mojo.columns}
    assert [o["offline"] for o in used] == mojo.score_many(mojo.encode(columns)).tolist()
    assert all(o["residual"] is None for o in outcomes if o["model"] is None)
    assert (run.shard.model, run.shard.position.activations) == (None, 2)


def test_keys_that_are_seen_no_more_are_forgotten():
    run, blocks = Run(rides_shard()), []
    events = [rain(n) for n in range(2_000)]
    named = [msgspec.structs.replace(e, city=f"c{n}") for n, e in enumerate(events)]
    for until in range(1_000, 2_001, 250):
        feed(run, log(*named[:until]))
        blocks.append(sum(len(t.blocks) for t in run.shard._features._arena.tables))
    # They expire after 40 minutes; 125 more may be late; forgetting is once an hour.
    assert max(blocks) <= 40 + 125 + 60 + 1


def test_many_keys_are_forgotten_soon_after_their_windows(monkeypatch):
    monkeypatch.setattr("state.vector.arena.LARGE", 10)
    run, blocks = Run(rides_shard()), []
    events = [msgspec.structs.replace(rain(n), city=f"c{n}") for n in range(600)]
    for until in range(200, 601, 7):
        feed(run, log(*events[:until]))
        blocks.append(sum(len(t.blocks) for t in run.shard._features._arena.tables))
    # They expire after 40 minutes; 125 more may be late; their turn is every ten minutes.
    assert 40 + 125 + 2 < max(blocks) <= 40 + 125 + 10 + 1


def test_what_a_shard_keeps_is_bounded_by_its_windows_not_by_its_history():
    run = Run(rides_shard())
    some, sizes = records(2_000), []
    for until in range(500, len(some), 500):
        feed(run, some[:until])
        state = msgspec.msgpack.decode(run.shard.snapshot())[5]
        sizes.append([len(part) for part in (*state[:4], state[7])])
    assert len(sizes) >= 6
    features, pending, ids, guard, order = zip(*sizes, strict=True)
    assert max(features[3:]) <= 1.25 * max(features[:3])
    assert max(pending) < 3 * min(pending)
    assert max(ids) < 3 * min(ids)
    assert len(set(guard)) < 4
    assert max(order) < 3 * min(order)


def test_what_the_journal_said_is_counted_and_what_the_events_say_is_not():
    shard = rides_shard()
    obeyed = []
    for message in (
        Boundary(1000),
        Activation(0, None, None),
        Boundary(2000, 1),
        Boundary(2000),
        Activation(2, None, None),
    ):
        shard.apply(message)
        obeyed.append((shard.position.boundary, shard.position.activations))
    assert obeyed == [(1000, 0), (1000, 1), (2000, 2), (2000, 2), (2000, 3)]


def test_other_settings_hold_from_their_place_on_and_what_was_learned_stays(offline):
    old, new = (settings_from({"decision": {"threshold": threshold}}) for threshold in (0.9, 0.1))
    made = records(400)
    first = Run(rides_shard(old))
    model = Activation(0, "gbm-1", offline(first.shard, "gbm-1"))
    feed(first, made[:200], others={0: [model]})
    second = rides_shard(new)
    second.restore(first.shard.snapshot(), lambda _: offline(second, "gbm-1"))
    expected = Run(second)
    expected.written = {topic: list(entries) for topic, entries in first.written.items()}
    first.take(Configuration(1, new))
    assert first.shard.position.activations == 2
    feed(first, made)
    feed(expected, made)
    assert first.written == expected.written
    decided = [msgspec.json.decode(value) for value in first.values("predictions")]
    assert all(one["decision"] == (one["probability"] >= 0.1) for one in decided[-20:])
    assert any(0.1 <= one["probability"] < 0.9 for one in decided[-20:])


def test_a_river_classifier_begins_anew_where_it_is_another_and_goes_on_where_it_is_not():
    def settings(**changes):
        river = {"class": "tree.HoeffdingTreeClassifier", "grace_period": 20}
        return settings_from({"online": {"river": river | changes}})

    def online(*configurations):
        run = Run(rides_shard(settings()))
        others = {300: [Configuration(i, one) for i, one in enumerate(configurations)]}
        feed(run, records(400), others=others)
        return [msgspec.json.decode(value)["online"] for value in run.values("predictions")]

    stays = online()
    assert online(settings()) == stays
    assert online(settings(grace_period=50)) != stays
    without = settings_from({})
    assert online(without, settings())[-1] != stays[-1]


def test_a_shard_is_freed_with_its_last_reference():
    shard = rides_shard()
    freed = weakref.ref(shard)
    gc.disable()
    try:
        del shard
        assert freed() is None
    finally:
        gc.enable()
