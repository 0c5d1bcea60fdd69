"""The first model comes as soon as there are rows for it, and a fresh home repeats when."""

import msgspec
import pytest

from flows.home.home import Home, create_topics
from flows.replay import branch as branches
from flows.replay import what_if
from models.refit.fit_record import TITLES
from operators.partition.journal import Activated, Journal, early_boundaries
from operators.training.model_registry import ModelRegistry
from state.durations import Duration
from state.log import EVENTS, Entry
from state.settings import Drift
from tests.flows.replay.conftest import run
from tests.flows.replay.test_what_if import only_branch
from tests.rides import records


def decided(log):
    """The decisions on fits."""
    records = [one for one in ModelRegistry(log).records() if one.status not in TITLES]
    return [(one.boundary, one.status, one.model) for one in records]


def test_the_first_model_comes_before_the_interval_is_over(rides_settings, log):
    begun = log.read(EVENTS, 0, 0, max_records=1)[0].append_time
    first = next(boundary for boundary, status, _ in decided(log) if status == "promoted")
    assert 0 < first - begun < rides_settings.training.every
    before = [(boundary, status) for boundary, status, _ in decided(log) if boundary < first]
    assert len(before) > 3
    assert all(boundary > begun and status == "skipped" for boundary, status in before)


def test_a_fresh_home_with_the_same_events_decides_the_same(rides, rides_settings, log, tmp_path):
    fresh = Home(tmp_path / "fresh")
    other = fresh.log()
    create_topics(other, 1)
    records = log.read(EVENTS, 0, 0, max_records=10**6)
    other.append(EVENTS, 0, [Entry(r.append_time, r.key, r.value) for r in records])
    other.close()
    run(rides_settings, fresh)
    other = fresh.log()
    assert decided(other) == decided(log)
    for topic in ("activations", "predictions"):
        values = [[r.value for r in of.read(topic, 0, 0, max_records=10**6)] for of in (log, other)]
        assert values[0] == values[1]
    other.close()


def test_a_what_if_from_the_head_has_the_same_boundaries(rides, rides_settings, log):
    what_if({"training.seed": 2}, home=rides.root, settings=rides_settings)
    own = branches.log_of(rides.log(), rides, only_branch(rides))
    assert [one[0] for one in decided(own)] == [one[0] for one in decided(log)]
    journals = [
        [entry.boundary for entry in Journal(of, 0).entries if isinstance(entry, Activated)]
        for of in (own, log)
    ]
    assert journals[0] == journals[1]
    assert Journal(own, 0).begun == Journal(log, 0).begun > 0
    own.close()


def test_a_what_if_has_the_early_boundaries_of_its_base_and_none_of_its_own(
    rides_settings, tmp_path
):
    drift = Drift(Duration(1), Duration.parse("2h"))
    alarmed = msgspec.structs.replace(rides_settings, drift=drift)
    home = Home(tmp_path / "alarmed")
    log = home.log()
    create_topics(log, 1)
    log.append(EVENTS, 0, [Entry(*record[1:]) for record in records(1_500, seed=3)])
    run(alarmed, home)
    early = early_boundaries(log)
    assert early
    what_if({"training.seed": 2}, home=home.root, settings=alarmed)
    own = branches.log_of(home.log(), home, only_branch(home))
    assert early_boundaries(own) == []
    assert {*early} < {one[0] for one in decided(own)}
    own.close()
    log.close()


@pytest.mark.parametrize("key", ["drift.rest", "drift.false_alarms"])
def test_what_changes_no_answer_of_a_what_if_is_refused(rides, rides_settings, key):
    with pytest.raises(ValueError, match=f"setting must matter to a replay; got '{key}'"):
        what_if({key: "3h"}, home=rides.root, settings=rides_settings)
