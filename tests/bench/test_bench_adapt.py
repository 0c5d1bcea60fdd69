"""Streams with known rules, and what is measured on them."""

import msgspec
import numpy as np
import polars as pl
import pytest

from bench.adapt_streams import DEADLINE_US, Rule, column_names, draw, events, stream_of
from bench.bench_adapt import RULES, measured, single_steps
from operators.shard.messages import Records
from operators.shard.shard import Shard
from state.settings import settings_from
from tests.operators.shard_runs import Run
from tests.rides import numbered

STILL = Rule("still", 3, None, per_hour=100, days=1, seed=3)


def outcomes(rule, **columns):
    drawn = draw(rule)
    n = len(drawn.label)
    asked = pl.Series(drawn.asked).cast(pl.Datetime("us"))
    half = [None] * (n // 2) + [0.5] * (n - n // 2)
    rows = {
        "at": np.arange(n), "event_time": asked,
        "label_time": pl.Series(drawn.told).cast(pl.Datetime("us")), "label": drawn.label,
        "site": [f"s{s}" for s in drawn.site], "online": drawn.truth, "offline": half,
        "residual": half, "probability": drawn.truth,
        "model": [None if p is None else "gbm-1" for p in half],
    }  # fmt: skip
    rows |= dict(zip(column_names(rule.columns), drawn.numbers.T, strict=True)) | columns
    return drawn, pl.DataFrame(rows)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_has_its_base_rate_and_is_the_same_each_time(rule):
    rule = msgspec.structs.replace(rule, per_hour=100, days=1)
    drawn, again = draw(rule), draw(rule)
    assert drawn.label.mean() == pytest.approx(rule.base_rate, abs=0.05)
    assert (drawn.numbers == again.numbers).all()
    assert (drawn.label == again.label).all()


def test_the_rule_stays_wanders_or_flips():
    def change(**of):
        rule = Rule("", 3, seed=5, per_hour=200, days=2, **of)
        drawn = draw(rule)
        half = len(drawn.label) // 2
        x = np.column_stack([drawn.numbers, np.ones(2 * half)])
        logit = np.log(drawn.truth / (1 - drawn.truth))
        first, second = (
            np.linalg.lstsq(x[part], logit[part], rcond=None)[0][:3] * drawn.numbers.std(axis=0)
            for part in (slice(0, half), slice(half, None))
        )
        return np.abs(first - second).max()

    assert change(hours=None) < 0.1
    assert change(hours=3.0) > 0.2
    assert change(hours=24.0, flips=True) > 0.5


@pytest.mark.parametrize("by_silence", [False, True])
def test_its_events_are_those_of_its_stream_by_time(by_silence):
    rule = msgspec.structs.replace(STILL, by_silence=by_silence)
    drawn, decode = draw(rule), stream_of(3).decoder().decode
    found = [decode(event) for event in events(rule, drawn)]
    told = [event for event in found if type(event).__name__ == "Told"]
    assert [event.time for event in found] == sorted(event.time for event in found)
    assert len(found) - len(told) == len(drawn.label)
    assert len(told) == (drawn.label.sum() if by_silence else len(drawn.label))
    asked = {event.id: event for event in found}
    assert all(0 < event.time - asked[event.of].time < DEADLINE_US for event in told)
    assert all(event.yes == drawn.label[int(event.of[1:])] for event in told)


def test_the_truth_is_better_than_a_coin_and_than_any_step():
    drawn, rows = outcomes(STILL)
    row = measured(STILL, rows, drawn.truth)
    assert row.requests == len(rows) - len(rows) // 2
    assert row.truth == row.online == row.ensemble < row.best_step < row.offline
    assert row.offline == pytest.approx(np.log(2))
    assert row.worst_block == pytest.approx(0)
    assert row.passes


def test_an_ensemble_worse_than_a_parent_does_not_pass():
    drawn, rows = outcomes(STILL)
    worse = rows.with_columns(probability=pl.lit(0.5))
    row = measured(STILL, worse, drawn.truth)
    assert row.worst_block > 0.05
    assert not row.passes


def test_a_shard_is_about_as_good_as_the_best_step_without_being_told_it():
    rule = msgspec.structs.replace(STILL, hours=6.0, per_hour=400)
    drawn = draw(rule)
    run = Run(Shard(stream_of(3), settings_from({}), 0))
    decode = stream_of(3).decoder().decode
    run.take(Records(numbered((decode(e).time, b"", e) for e in events(rule, drawn))))
    made = {one["id"]: one for one in map(msgspec.json.decode, run.values("outcomes"))}
    of = [made.get(f"r{i}") for i in range(len(drawn.label))]
    known = np.array([one is not None for one in of])
    p = np.array([0.5 if one is None else one["probability"] for one in of])
    _, rows = outcomes(rule)
    steps = single_steps(rows, column_names(3))

    def log_loss(p):
        hit = np.where(drawn.label == 1, p, 1 - p)[known]
        return -np.log(np.clip(hit, 1e-6, 1)).mean()

    best = min(log_loss(p) for name, p in steps.items() if name.startswith("online"))
    assert known.mean() > 0.99
    assert log_loss(p) <= best + 0.01


def test_nothing_is_known_before_it_is_told():
    drawn, rows = outcomes(STILL)
    flipped = rows.with_columns(
        label=pl.when(pl.col("at") >= 1_000).then(1 - pl.col("label")).otherwise(pl.col("label"))
    )
    names = column_names(3)
    before = drawn.asked < drawn.told[1_000:].min()
    one, other = (single_steps(of, names)["online lasting 0.3"] for of in (rows, flipped))
    assert (one[before] == other[before]).all()
    assert before.sum() > 900
