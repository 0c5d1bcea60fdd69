"""A shard tells that a column of its requests is not what it was in training."""

import msgspec
import numpy as np
import pytest

from models.judging.column_reference import Reference
from operators.shard.column_watch import ColumnWatch
from operators.shard.messages import Activation, Configuration
from operators.shard.shard import DamagedStateError
from state.events import HOUR_US, MINUTE_US
from state.outputs.records import Alert, Metrics
from state.settings import Settings, settings_from
from tests.models.judging.columns import evenly
from tests.models.judging.columns import profile as training
from tests.operators.shard.columns_world import (
    FIRST_US,
    TRAINED,
    Fault,
    offline,
    run,
    trained_profile,
    trips,
    trips_shard,
)
from tests.operators.shard_runs import Run, feed

BEGIN = FIRST_US + TRAINED + 90 * MINUTE_US
UNIT = Fault(BEGIN, {"distance": lambda distance: distance * 20 + 100})
RENAMED = Fault(BEGIN, {"zone": lambda zone: "North" if zone == "north" else zone})
STILL = Fault(BEGIN, {"distance": lambda _: 7.25})
DRY = Fault(BEGIN, is_dry=True)
PASSING = UNIT._replace(end=BEGIN + HOUR_US)


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    return trained_profile(tmp_path_factory.mktemp("trained"))


def told(of):
    found = [msgspec.json.decode(value, type=Alert) for value in of.values("alerts")]
    return [one for one in found if one.kind.startswith("data_quality")]


def ticks(of):
    return [msgspec.json.decode(value, type=Metrics) for value in of.values("metrics")]


@pytest.fixture(scope="module")
def broken(profile):
    return run(profile, UNIT)


@pytest.fixture(scope="module")
def passing(profile):
    return run(profile, PASSING)


def test_healthy_columns_raise_nothing_and_are_not_listed(profile):
    of = run(profile)
    assert told(of) == []
    assert not any(tick.columns for tick in ticks(of) if "distance" in tick.columns)


@pytest.mark.parametrize(
    ("fault", "column", "kind", "words"),
    [
        (UNIT, "distance", "out_of_range", " are out of range, such as "),
        (RENAMED, "zone", "unseen_levels", "such as 'North'"),
        (STILL, "distance", "constant", "always 7.25 in "),
        (DRY, "fell", "stopped", "no value in "),
    ],
    ids=["unit", "level renamed", "stands still", "stopped"],
)
def test_a_fault_is_named_and_stands_first_at_the_first_tick_after_it(
    profile, fault, column, kind, words
):
    of = run(profile, fault)
    expires = HOUR_US if fault is DRY else 0
    first, *others = [one for one in told(of) if one.message.startswith(column)]
    assert all(one.kind == "data_quality" for one in others)
    assert fault.begin < first.time <= fault.begin + expires + HOUR_US
    assert words in first.message
    assert first.message.startswith(f"{column} of partition 0: ")
    (tick,) = [one for one in ticks(of) if one.time == first.time]
    assert next(iter(tick.columns)) == column
    since = tick.columns[column].faults[kind]
    assert fault.begin + expires - HOUR_US <= since <= first.time


def test_a_slow_clock_is_told_from_the_time_of_the_records(profile):
    early = settings_from({"metrics": {"every": "20m"}, "columns": {"season": "3h"}})
    fault = Fault(FIRST_US + 13 * HOUR_US, late_us=HOUR_US)
    of = run(profile, fault, early, until=FIRST_US + 16 * HOUR_US)
    (first,) = [one for one in told(of) if one.message.startswith("(time)")]
    assert fault.begin < first.time <= fault.begin + 2 * HOUR_US
    assert "come far from the time that they name, most by 36 to 72 min after" in first.message
    (tick,) = [one for one in ticks(of) if one.time == first.time]
    assert next(iter(tick.columns)) == "(time)"


def test_a_fault_is_told_once_and_its_end_once(passing):
    began, ended = [one for one in told(passing) if one.message.startswith("distance")]
    assert (began.kind, ended.kind) == ("data_quality", "data_quality_recovered")
    assert began.time < PASSING.end < ended.time <= PASSING.end + 3 * HOUR_US / 2
    assert ended.message == (
        "distance of partition 0: over is 'out of the range of training since 2024-01-01 05:30'"
    )
    for tick in ticks(passing):
        on = began.time <= tick.time < ended.time
        assert ("out_of_range" in getattr(tick.columns.get("distance"), "faults", {})) == on


def test_the_figures_are_those_of_the_requests(broken):
    (alert,) = [one for one in told(broken) if "distance" in one.message]
    (tick,) = [one for one in ticks(broken) if one.time == alert.time]
    (before,) = [one for one in ticks(broken) if one.time == alert.time - 30 * MINUTE_US]
    state = tick.columns["distance"]
    assert state.rows == tick.requests - before.requests
    assert f"of {state.rows} requests since " in alert.message
    assert 0 < state.beyond <= 1
    assert state.psi > state.critical


def test_predictions_and_outcomes_are_those_without_a_profile(broken, profile):
    plain = run(None, UNIT)
    for topic in ("predictions", "outcomes", "dead_letters"):
        assert plain.values(topic) == broken.values(topic)
    assert not any(b'"columns"' in value for value in plain.values("metrics"))
    assert told(plain) == []


@pytest.mark.parametrize("cut", [3_300, 4_000, 5_000])
def test_the_batches_and_a_snapshot_in_between_change_nothing(passing, profile, cut):
    records = trips(FIRST_US + TRAINED + 4 * HOUR_US, PASSING)
    first = run(profile, PASSING, until=records[cut].append_time)
    at = first.shard.position.offset
    second = Run(trips_shard())
    second.shard.restore(
        first.shard.snapshot(), lambda model: offline(second.shard, profile, model)
    )
    assert second.shard.snapshot() == first.shard.snapshot()
    second.written = first.written
    feed(second, records, cut_at=range(at + 1, len(records), 371))
    assert second.written == passing.written
    assert second.shard.snapshot() == passing.shard.snapshot()


def test_a_silent_shard_has_the_state_of_one_that_writes(passing, profile):
    silent = Run(trips_shard())
    silent.shard.is_silent = True
    records = trips(FIRST_US + TRAINED + 4 * HOUR_US, PASSING)
    first = sum(record.append_time < FIRST_US + TRAINED for record in records)
    feed(silent, records[:first])
    silent.take(Activation(0, "gbm-1", offline(silent.shard, profile)))
    feed(silent, records)
    assert silent.shard._columns.snapshot() == passing.shard._columns.snapshot()


def test_a_training_window_shorter_than_a_season_raises_nothing(profile):
    of = run(profile, UNIT, settings_from({"metrics": {"every": "30m"}}))
    assert told(of) == []
    assert not any(tick.columns for tick in ticks(of))


def test_a_season_that_becomes_longer_ends_the_faults(profile):
    of = run(profile, UNIT)
    on = [one.message.partition(" of ")[0] for one in told(of) if one.kind == "data_quality"]
    of.take(Configuration(1, settings_from({"metrics": {"every": "30m"}})))
    records = trips(FIRST_US + TRAINED + 5 * HOUR_US, UNIT)
    feed(of, records)
    ended = [one for one in told(of) if one.kind == "data_quality_recovered"]
    assert "distance" in on
    assert any(one.message.startswith("distance") for one in ended)
    assert ticks(of)[-1].columns == {}


def test_another_champion_brings_its_own_training_window(profile):
    of = run(profile, UNIT)
    assert ticks(of)[-1].columns
    of.take(Activation(1, "gbm-2", offline(of.shard, None, "gbm-2"), champion="gbm-2"))
    feed(of, trips(FIRST_US + TRAINED + 5 * HOUR_US, UNIT))
    assert ticks(of)[-1].columns == {}
    ended = [one for one in told(of) if one.kind == "data_quality_recovered"]
    assert any(one.message.startswith("distance") for one in ended)
    assert len(of.shard.snapshot()) < len(run(profile, UNIT).shard.snapshot())


def test_a_challenger_does_not_replace_the_training_window_of_the_champion(profile):
    of = run(profile, UNIT)
    before = of.shard._columns.snapshot()
    of.take(Activation(1, "gbm-2", offline(of.shard, None, "gbm-2"), champion="gbm-1"))
    assert of.shard._columns.snapshot() == before


def test_a_state_of_another_model_is_refused(broken):
    other = trips_shard()
    with pytest.raises(DamagedStateError, match=r"columns must be compared with None.* in columns"):
        other.restore(broken.shard.snapshot(), lambda _: offline(other, None))


def test_a_state_can_be_looked_at_without_its_model(broken):
    other = trips_shard()
    other.restore(broken.shard.snapshot(), lambda _: None)
    assert other.position == broken.shard.position


def test_a_tick_lists_all_faults_but_few_columns_that_drift():
    names = [f"x{i}" for i in range(40)]
    times, still = evenly(20_000, 28), np.full((400, 40), 3.0)
    random = np.random.default_rng(1)
    own = training({name: random.normal(size=20_000) for name in names}, times)
    watch = ColumnWatch(40, 0, Settings())
    watch.refer("gbm-1", Reference(own, names, {}))
    for row, at in zip(random.normal(1.0, 1.0, (400, 40)), evenly(400, 1).tolist(), strict=True):
        watch.window.add(row, at, at)
    drifted = watch.look(28 * 24 * HOUR_US)
    assert len(drifted.states) == 12
    assert drifted.alerts == []
    for row, at in zip(still, evenly(400, 1).tolist(), strict=True):
        watch.window.add(row, at, at)
    broken = watch.look(29 * 24 * HOUR_US)
    assert len(broken.states) == len(broken.alerts) == 40
