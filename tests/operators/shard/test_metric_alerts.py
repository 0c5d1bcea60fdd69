"""A shard tells that a metric of its answers has crossed its line, and that it is back."""

import json

import msgspec
import numpy as np
import pytest

from models import scorecard
from models.judging.histograms import MIDDLES, column
from models.judging.metric_figures import METRICS
from operators.shard.messages import Configuration
from operators.shard.shard import DamagedStateError
from state.events import HOUR_US, MINUTE_US
from state.outputs.records import Alert, Metrics
from state.settings import AlertMetric, settings_from
from tests.operators.shard.test_drift import FIRST_US, world
from tests.operators.shard_runs import SETTINGS, Run, feed, rides_shard

SPAN_US = 8 * HOUR_US
LINES = {"auc": {"below": 0.89, "window": "8h"}}
FLIPPED = world(3_000, seed=8, flip=1_500)


def settings(lines):
    return settings_from({"metrics": {"every": "20m"}, "clock": {"span": "30m"}, "alerts": lines})


def told(run):
    found = [msgspec.json.decode(value, type=Alert) for value in run.values("alerts")]
    return [one for one in found if one.kind.startswith("metric")]


def ticks(run):
    return [msgspec.json.decode(value, type=Metrics) for value in run.values("metrics")]


@pytest.fixture(scope="module")
def flipped():
    return feed(Run(rides_shard(settings(LINES))), FLIPPED)


def test_a_line_is_crossed_once_and_kept_to_again_once(flipped):
    learning, learned, crossed, back = told(flipped)
    assert learned.time < FIRST_US + 1_500 * MINUTE_US < crossed.time < back.time
    assert [one.kind for one in (learning, learned)] == ["metric", "metric_recovered"]
    assert [one.kind for one in (crossed, back)] == ["metric", "metric_recovered"]
    assert crossed.message.startswith("auc of partition 0 is 0.")
    assert " over 8h, below 0.89, by " in crossed.message
    assert " over 8h, no longer below 0.89, by " in back.message
    for tick in ticks(flipped):
        state = tick.alerts["auc"]
        on = learning.time <= tick.time < learned.time or crossed.time <= tick.time < back.time
        assert state.fires == on
        if tick.time in {learning.time, crossed.time}:
            assert state.high < 0.89
        if tick.time in {learned.time, back.time}:
            assert state.low < 0.89 <= state.value
        elif state.fires:
            assert state.value < 0.89


def test_the_metric_of_each_tick_is_that_of_its_outcomes(flipped):
    outcomes = [json.loads(value) for value in flipped.values("outcomes")]
    period, compared = SPAN_US // 24, 0
    for tick in ticks(flipped)[::5]:
        counted = outcomes[: tick.labels]
        newest = max(one["event_time"] for one in counted) // period
        within = [one for one in counted if one["event_time"] // period > newest - 24]
        state = tick.alerts["auc"]
        assert state.n == len(within)
        if state.value is not None:
            labels = np.array([float(one["label"]) for one in within])
            said = MIDDLES[[column(one["probability"]) for one in within]]
            assert state.value == pytest.approx(scorecard.auc(labels, said), abs=1e-6)
            compared += 1
    assert compared > 10


def test_nothing_is_said_before_there_are_enough_labels(flipped):
    first, *_ = ticks(flipped)
    assert first.alerts["auc"].lacks.startswith("needs 100 labels, has ")
    assert not first.alerts["auc"].fires
    never = {"auc": {"below": 1.0, "window": "1h"}}  # an hour has sixty labels
    run = feed(Run(rides_shard(settings(never))), FLIPPED[:2_000])
    assert told(run) == []
    assert all("auc" in tick.alerts and tick.alerts["auc"].value is None for tick in ticks(run))


def test_without_lines_nothing_changes(flipped):
    plain = feed(Run(rides_shard(SETTINGS)), FLIPPED)
    for topic in ("predictions", "outcomes", "dead_letters"):
        assert plain.values(topic) == flipped.values(topic)
    assert [one for one in flipped.values("alerts") if b'"metric' not in one] == plain.values(
        "alerts"
    )
    with_lines = [json.loads(value) for value in flipped.values("metrics")]
    assert [json.loads(value) for value in plain.values("metrics")] == [
        {name: of for name, of in one.items() if name != "alerts"} for one in with_lines
    ]
    assert not any(b'"alerts"' in value for value in plain.values("metrics"))


@pytest.mark.parametrize("cut", [2_600, 3_900])
def test_the_batches_and_a_snapshot_in_between_change_nothing(flipped, cut):
    first = feed(Run(rides_shard(settings(LINES))), FLIPPED[:cut])
    second = Run(rides_shard(settings(LINES)))
    second.shard.restore(first.shard.snapshot(), lambda _: None)
    assert second.shard.snapshot() == first.shard.snapshot()
    second.written = first.written
    feed(second, FLIPPED, cut_at=range(cut + 1, 6_000, 371))
    assert second.written == flipped.written
    assert second.shard.snapshot() == flipped.shard.snapshot()


def test_a_line_that_is_removed_while_it_is_crossed_recovers():
    run = feed(Run(rides_shard(settings(LINES))), FLIPPED[:3_850])
    assert [one.kind for one in told(run)] == ["metric", "metric_recovered", "metric"]
    run.take(Configuration(0, SETTINGS))
    again = Run(rides_shard(SETTINGS))
    again.shard.restore(run.shard.snapshot(), lambda _: None)
    again.written = run.written
    feed(again, FLIPPED[:3_950])
    assert told(again)[:3] == told(run)[:3]
    assert [one.kind for one in told(again)[3:]] == ["metric_recovered"]
    assert told(again)[3].message == "auc of partition 0 is no longer watched"
    assert ticks(again)[-1].alerts == {}
    plain = feed(Run(rides_shard(SETTINGS)), FLIPPED[:3_950])
    assert len(again.shard.snapshot()) < len(plain.shard.snapshot()) + 100


def test_a_line_that_comes_later_counts_from_then_on():
    run = feed(Run(rides_shard(SETTINGS)), FLIPPED[:2_000])
    run.take(Configuration(0, settings(LINES)))
    feed(run, FLIPPED[:2_400])
    last = ticks(run)[-1].alerts["auc"]
    assert 150 < last.n <= 200


def test_every_metric_can_have_a_line():
    assert AlertMetric.__args__ == METRICS
    upper = {"log_loss", "brier", "ece"}
    lines = {name: {"above" if name in upper else "below": 0.5} for name in METRICS}
    run = feed(Run(rides_shard(settings(lines))), FLIPPED[:3_000])
    assert [*ticks(run)[-1].alerts] == [*METRICS]
    for state in ticks(run)[-1].alerts.values():
        assert 0 <= state.low <= state.value <= state.high


def test_windows_of_other_settings_are_refused():
    run = feed(Run(rides_shard(settings(LINES))), FLIPPED[:200])
    other = rides_shard(settings({"auc": {"below": 0.7, "window": "4h"}}))
    with pytest.raises(DamagedStateError, match=r"windows must be of .* in alerts on metrics"):
        other.restore(run.shard.snapshot(), lambda _: None)
