"""Alerts on metrics are the same after a crash and in an audit, whatever the settings are today."""

import json
import shutil

import pytest

from flows.__main__ import main
from flows.home.home import Home, create_topics
from flows.home.restorable import is_restorable
from flows.replay import audit
from operators.partition.journal import Configured, Journal
from operators.shard.shard import TOPICS
from state.log import EVENTS, Entry
from state.settings import settings_from
from tests.flows.replay.conftest import RIDES, run
from tests.flows.replay.test_changing_settings import cut_off
from tests.rides import records

PLAIN = {
    **RIDES,
    "training": {"trainer": "external", "wait": False, "every": "6h"},
    "reading": {"batch": 50},
}
LINES = {
    "auc": {"below": 0.9, "window": "12h"},
    "recall": {"below": 0.01, "window": "3h"},
    "estimate_error": {"above": 0.001, "window": "12h"},
}
WITH = settings_from({**PLAIN, "alerts": LINES})
WITHOUT = settings_from(PLAIN)
ENTRIES = [Entry(*record[1:]) for record in records(900, seed=3)]


def begun(root, entries):
    home = Home(root)
    log = home.log()
    create_topics(log, 1)
    log.append(EVENTS, 0, entries)
    log.close()
    return home


def written(home):
    log = home.log()
    found = {topic: [r.value for r in log.read(topic, 0, 0, max_records=10**6)] for topic in TOPICS}
    log.close()
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    home = begun(tmp_path_factory.mktemp("whole"), ENTRIES)
    run(WITH, home)
    return home


def kinds(home):
    return [one["kind"] for one in map(json.loads, written(home)["alerts"])]


def test_the_flow_writes_them(whole):
    assert kinds(whole).count("metric") >= 1
    last = json.loads(written(whole)["metrics"][-1])
    assert [*last["alerts"]] == ["auc", "recall", "estimate_error"]


def test_the_flow_writes_estimates_before_labels_and_what_came_of_them(whole):
    metrics = [json.loads(value) for value in written(whole)["metrics"]]
    assert sum("ahead" in one for one in metrics) > 3
    last = metrics[-1]["estimated"]
    assert last["n"] >= 500
    assert last["since"] < last["until"]


def test_a_flow_that_was_cut_off_writes_the_same(whole, tmp_path):
    home = begun(tmp_path / "cut", ENTRIES[:800])
    cut_off(WITH, home, messages=9, partitions=1)
    run(WITH, home)
    log = home.log()
    log.append(EVENTS, 0, ENTRIES[800:])
    log.close()
    cut_off(WITH, home, messages=7, partitions=1)
    run(WITH, home)
    assert written(home) == written(whole)


def test_the_log_alone_brings_them_back_whatever_is_set_today(whole, tmp_path):
    before, home = written(whole), Home(tmp_path / "again")
    shutil.copytree(whole.root, home.root)
    shutil.rmtree(home.root / "checkpoints")
    run(WITHOUT, home)
    after = written(home)
    assert {topic: after[topic][: len(of)] for topic, of in before.items()} == before
    log = home.log()
    first, last = [one for one in Journal(log, 0).entries if isinstance(one, Configured)]
    log.close()
    assert first.settings["alerts"] == LINES
    assert "alerts" not in last.settings


@pytest.mark.parametrize("today", [WITH, WITHOUT], ids=["with", "without"])
def test_an_audit_finds_no_difference(whole, today):
    frame = audit(home=whole.root, settings=today)
    assert frame["different"].sum() == 0
    assert frame["identical"].sum() == sum(map(len, written(whole).values()))


def test_lines_that_come_later_have_no_effect_on_what_was_recorded(tmp_path):
    home = begun(tmp_path / "later", ENTRIES[:900])
    run(WITHOUT, home)
    log = home.log()
    log.append(EVENTS, 0, ENTRIES[900:])
    log.close()
    run(WITH, home)
    assert not any(b'"alerts"' in value for value in written(home)["metrics"][:5])
    assert b'"alerts"' in written(home)["metrics"][-1]
    assert audit(home=home.root, settings=WITH)["different"].sum() == 0
    shutil.rmtree(home.root / "checkpoints")
    before = written(home)
    run(WITH, home)
    assert written(home) == before


def test_a_checkpoint_is_restorable_whatever_is_set_today(whole):
    others = settings_from({**PLAIN, "alerts": {"ece": {"above": 0.5, "window": "7d"}}})
    log, store = whole.log(), whole.checkpoints()
    for today in (WITH, WITHOUT, others):
        newest = next(iter(store.heads(0)))
        assert is_restorable(newest, store, log, today)
    log.close()


def test_the_status_says_which_alerts_are_on(whole, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HEADWATER_HOME", str(whole.root))
    monkeypatch.delenv("HEADWATER_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "headwater.toml").write_text('stream = "tests.rides:stream"\n')
    assert main(["status"]) == 0
    last = json.loads(written(whole)["metrics"][-1])["alerts"]["auc"]
    assert f"alert on auc: on in {int(last.get('fires', False))} of 1 partitions" in (
        capsys.readouterr().out
    )
