"""A shard says before the labels how good its answers will be found, and afterwards what came."""

import json
import math
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from models import scorecard
from models.judging.estimates import from_runs
from models.judging.histograms import MIDDLES, column, histogram_of
from models.judging.waiting_counts import GROUP
from models.scoring.bound_model import Offline
from operators.shard.messages import Boundary, Configuration
from operators.shard.shard import DamagedStateError
from state.events import MINUTE_US, SECOND_US
from state.outputs.records import Alert, Metrics
from state.settings import settings_from
from tests.operators.shard.test_drift import FIRST_US
from tests.operators.shard.test_learning import MOJOS, NAMES, activation
from tests.operators.shard_runs import Run, feed, rides_shard
from tests.rides import Asked, Ended, encode, numbered, stream

PLAIN = {
    "metrics": {"every": "20m"},
    "clock": {"span": "30m"},
    "drift": {"false_alarms": "7d", "rest": "6h"},
}
SETTINGS = settings_from(PLAIN)
EVERY_US = 20 * SECOND_US


def world(n, seed=8, flip=None):
    """Requests whose label 1 comes after five minutes, and 0 by silence after forty."""
    rng, events = np.random.default_rng(seed), []
    for i in range(n):
        time = FIRST_US + i * EVERY_US
        price = float(rng.lognormal(3, 1))
        odds = 2 * (math.log(price) - 3) * (-1 if flip is not None and i >= flip else 1)
        asked = Asked(
            id=f"a{i}", time=time, city="ber", driver=1, pickup=time, arrive=time + 30 * MINUTE_US,
            price=price,
        )  # fmt: skip
        events.append(asked)
        if rng.random() < 1 / (1 + math.exp(-odds)):
            events.append(
                Ended(
                    id=f"e{i}", time=time + 5 * MINUTE_US, of=f"a{i}", city="ber", driver=1,
                    pickup=time, late=9.0,
                )
            )  # fmt: skip
    events.sort(key=lambda event: event.time)
    return numbered((event.time, b"", encode(event)) for event in events)


MADE = world(3_000)
FLIPPED = world(6_000, flip=3_000)
BEGUN = 1_200


def positives_first(settings=SETTINGS):
    """A shard whose requests get the label 0 by silence."""
    return rides_shard(settings, label=replace(stream.label, silence=False))


def begun(made, until=None, settings=SETTINGS):
    """A run whose first offline model comes after some eight hundred requests."""
    run = Run(positives_first(settings))
    feed(run, made[:BEGUN])
    run.take(activation(run.shard, "priced", 0))
    return feed(run, made[:until])


@pytest.fixture(scope="module")
def steady():
    return begun(MADE)


@pytest.fixture(scope="module")
def flipped():
    return begun(FLIPPED)


def ticks(run):
    return [msgspec.json.decode(value, type=Metrics) for value in run.values("metrics")]


def predictions(run):
    return [json.loads(value) for value in run.values("predictions")]


def outcomes(run):
    return [json.loads(value) for value in run.values("outcomes")]


def waiting(run, tick, *, unlabelled=False):
    """The predictions that waited at a tick, from the oldest without a label on."""
    known = {one["id"] for one in outcomes(run)[: tick.labels]}
    asked = predictions(run)[: tick.requests]
    if unlabelled:
        return [one for one in asked if one["id"] not in known]
    first = next((i for i, one in enumerate(asked) if one["id"] not in known), len(asked))
    return asked[first:]


def counts_of(said, threshold=0.5):
    said = np.array(said)
    return histogram_of((said >= threshold).astype(int), said)


def test_the_requests_of_each_tick_are_those_from_the_oldest_without_a_label_on(steady):
    seen = 0
    for tick in ticks(steady):
        said = [one["probability"] for one in waiting(steady, tick)]
        if len(said) < 20:
            assert tick.ahead is None
            continue
        assert tick.ahead.n == len(said) > tick.pending
        assert (from_runs(tick.ahead.counts, 2) == counts_of(said)).all()
        if tick.ahead.auc is not None:
            p = MIDDLES[[column(one) for one in said]]
            own = p[:, None] * (1 - p[None, :])
            np.fill_diagonal(own, 0.0)
            beats = np.sign(p[:, None] - p[None, :]) / 2 + 0.5
            assert tick.ahead.auc == pytest.approx((own * beats).sum() / own.sum(), abs=1e-6)
            assert tick.ahead.low < tick.ahead.auc < tick.ahead.high
            seen += 1
    assert seen > 20


def test_where_positives_come_first_those_without_a_label_alone_would_mislead(steady):
    labels = {one["id"]: one["label"] for one in outcomes(steady)}
    by_order, by_label = [], []
    for tick in ticks(steady)[24:-4]:
        for found, unlabelled in ((by_order, False), (by_label, True)):
            asked = waiting(steady, tick, unlabelled=unlabelled)
            said = np.array([one["probability"] for one in asked])
            came = sum(labels[one["id"]] for one in asked)
            found.append((came - said.sum()) / np.sqrt((said * (1 - said)).sum()))
    assert abs(np.mean(by_order)) < 1
    assert np.mean(by_label) < -3


def test_what_came_is_that_of_the_very_requests_of_which_an_estimate_was_made(steady):
    labels = {one["id"]: one for one in outcomes(steady)}
    members, groups = {}, []
    for tick in ticks(steady):
        order = [one["id"] for one in waiting(steady, tick)]
        known = [one for one in members if one not in {*order}]
        if len(known) >= GROUP and len(known) == len(members):
            groups.append((tick, [*members]))
            members = {}
        if len(members) < GROUP and order:
            members |= dict.fromkeys(order)
    assert len(groups) >= 3
    for tick, of in groups:
        found = tick.estimated
        said = np.array([labels[one]["probability"] for one in of])
        came = np.array([labels[one]["label"] for one in of])
        middles = MIDDLES[[column(p) for p in said]]
        assert found.n == len(of)
        assert found.until == tick.time
        assert found.realised == pytest.approx(scorecard.auc(came.astype(float), middles), abs=1e-6)
        counts = from_runs(found.counts, 4).reshape(2, 2, -1)
        assert (counts.sum(axis=0) == counts_of(said)).all()
        assert (counts.sum(axis=1) == histogram_of(came, said)).all()
    last = ticks(steady)[-1].estimated
    assert abs(last.expected - last.realised) < 0.06


def test_an_estimate_is_trusted_once_there_is_a_model_and_labels_for_the_watch(steady):
    doubts = [tick.ahead.doubt for tick in ticks(steady) if tick.ahead is not None]
    assert doubts[0] == "no offline model"
    changes = [one for i, one in enumerate(doubts) if not i or doubts[i - 1] != one]
    assert changes[:3] == ["no offline model", "too few labels", ""]
    assert doubts.count("drift") <= 1
    assert ticks(steady)[-1].estimated.trusted
    for tick in ticks(steady):
        if tick.ahead is not None:
            assert tick.ahead.trusted == (not tick.ahead.doubt)
    first = next(tick.estimated for tick in ticks(steady) if tick.estimated is not None)
    assert not first.trusted


def test_in_a_world_that_turns_around_it_is_not_trusted_when_drift_is_told(flipped):
    alerts = [msgspec.json.decode(value, type=Alert) for value in flipped.values("alerts")]
    flip_us = FIRST_US + 3_000 * EVERY_US
    told = next(one.time for one in alerts if one.kind == "drift" and one.time > flip_us)
    since = [tick for tick in ticks(flipped) if flip_us < tick.time and tick.ahead]
    doubted = [tick.time for tick in since if tick.ahead.doubt == "drift"]
    assert doubted[0] <= told + 20 * MINUTE_US
    assert since[-1].ahead.trusted
    worst = max(
        (tick.estimated for tick in ticks(flipped) if tick.estimated and tick.estimated.expected),
        key=lambda of: abs(of.expected - of.realised),
    )
    assert worst.expected - worst.realised > 0.1


def test_a_cut_that_takes_the_evidence_away_leaves_the_doubt():
    run = begun(FLIPPED, until=4_400)
    for until in range(4_440, len(FLIPPED), 40):
        if feed(run, FLIPPED[:until]).shard.wants_fit(0):
            break
    assert run.shard._learning.doubt() == "drift"
    run.take(Boundary(FIRST_US + 10**6 * MINUTE_US))
    assert run.cuts[-1].change
    assert run.shard._learning.watch.is_calm
    assert run.shard._learning.doubt() == "drift"


def test_where_silence_is_no_label_dropped_requests_are_not_expected_to_come():
    label = replace(stream.label, silence=None)
    run = feed(Run(rides_shard(SETTINGS, label=label)), MADE)
    last = ticks(run)[-1]
    assert last.unlabelled > 1_000
    assert last.ahead.n < 200
    groups = [tick.estimated for tick in ticks(run) if tick.estimated is not None]
    assert groups
    for of in groups:
        zeros, ones = from_runs(of.counts, 4).reshape(2, 2, -1).sum(axis=(1, 2))
        assert (int(zeros), int(ones)) == (0, of.n)
        assert of.realised is None


def test_where_nothing_waits_nothing_is_said():
    made = world(300)
    run = feed(Run(positives_first()), made)
    later = FIRST_US + 10**4 * MINUTE_US
    asked = Asked(
        id="z", time=later, city="ber", driver=1, pickup=later, arrive=later + 1, price=3.0
    )
    more = numbered([*((r.append_time, r.key, r.value) for r in made), (later, b"", encode(asked))])
    feed(run, more)
    last = ticks(run)[-1]
    assert (last.pending, last.ahead) == (1, None)
    assert b'"ahead"' not in run.values("metrics")[-1]


def test_another_threshold_counts_the_waiting_answers_by_itself():
    run = feed(Run(positives_first()), MADE[:1_000])
    run.take(Configuration(0, settings_from({**PLAIN, "decision": {"threshold": 0.2}})))
    feed(run, MADE[:1_300])
    last = ticks(run)[-1]
    said = [one["probability"] for one in waiting(run, last)]
    assert len(said) > 100
    assert (from_runs(last.ahead.counts, 2) == counts_of(said, 0.2)).all()
    assert (counts_of(said) != counts_of(said, 0.2)).any()


@pytest.mark.parametrize("cut", [1_100, 2_222, 3_333])
def test_the_batches_and_a_snapshot_in_between_change_nothing(steady, cut):
    first = begun(MADE, until=cut) if cut > BEGUN else feed(Run(positives_first()), MADE[:cut])
    second = Run(positives_first())
    second.shard.restore(
        first.shard.snapshot(),
        lambda model: Offline(model, MOJOS[model], NAMES, second.shard.levels),
    )
    assert second.shard.snapshot() == first.shard.snapshot()
    second.written = first.written
    others = {} if cut > BEGUN else {BEGUN: [activation(second.shard, "priced", 0)]}
    feed(second, MADE, cut_at=range(cut + 1, len(MADE), 371), others=others)
    assert second.written == steady.written
    assert second.shard.snapshot() == steady.shard.snapshot()


def test_a_silent_shard_counts_as_the_other(steady):
    shard = positives_first()
    shard.is_silent = True
    run = begun(MADE, until=1)
    silent = Run(shard)
    feed(silent, MADE[:BEGUN])
    silent.take(activation(shard, "priced", 0))
    feed(silent, MADE)
    ours, theirs = (one.shard._learning.waiting.waiting() for one in (silent, steady))
    assert (ours == theirs).all()
    assert ours.sum() > 20
    assert run.shard is not shard


def test_groups_of_turns_that_were_never_given_are_refused(steady):
    *head, parts = msgspec.msgpack.decode(steady.shard.snapshot())
    at = [*steady.shard._parts()].index("estimates")
    state = msgspec.msgpack.decode(parts[at])
    for change, message in (({"end": 10**6}, "before turn"), ({"doubted": "x"}, "Expected")):
        parts[at] = msgspec.msgpack.encode(state | change)
        with pytest.raises(DamagedStateError, match=f"{message}.* of a shard's state"):
            positives_first().restore(msgspec.msgpack.encode([*head, parts]), lambda _: None)
