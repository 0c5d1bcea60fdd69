"""Settings may change between any two runs; the log alone tells what was made with which."""

import os
import shutil
import subprocess
import sys
import threading
from itertools import islice

import pytest
from bytewax.errors import BytewaxRuntimeError
from rich.console import Console

from flows.errors.user_errors import root_of
from flows.home.file_lock import lock_partition
from flows.home.home import Home, create_topics
from flows.ingest import append_history
from flows.replay import audit
from flows.runtime.app import App
from flows.streams import quotes
from flows.streams.quotes_market import Market
from operators.partition.journal import Configured, Journal
from operators.partition.log_check import LogCutError
from operators.shard.shard import TOPICS
from operators.training.model_registry import ModelRegistry
from state.process_lock import LockedError
from state.settings import changed, settings_from
from tests.flows.replay.conftest import QUOTES, run
from tests.flows.replay.test_branching import extend, records

OLD = settings_from(QUOTES)
NEW = changed(OLD, {"decision": {"threshold": 0.3}})


def cut_off(settings, home, messages=6, partitions=8):
    """A run that is killed before its first checkpoint."""
    app = App(settings, home, Console(quiet=True), threading.Event())
    for partition in range(partitions):
        live = app._opened.open(partition)
        live._pace = None
        for _ in range(messages):
            message = live.poll()
            if message is not None:
                live.commit(live.process(message))
    app._log.close()


def thresholds(home, partition=0):
    log = home.log()
    entries = Journal(log, partition).entries
    log.close()
    return [one.settings["decision.threshold"] for one in entries if isinstance(one, Configured)]


def outputs(home):
    return {place: of for place, of in records(home).items() if place[0] in TOPICS}


@pytest.fixture
def changed_amid(half):
    """A history with settings that changed twice, once just before a kill."""
    home, rest = half
    extend(home, [of[: len(of) // 2] for of in rest])
    cut_off(NEW, home)
    run(OLD, home)
    extend(home, [of[len(of) // 2 :] for of in rest])
    run(NEW, home)
    return home


def test_a_kill_right_after_a_change_strands_nobody(changed_amid):
    assert thresholds(changed_amid) == [0.5, 0.3, 0.5, 0.3]
    log = changed_amid.log()
    ends = [log.end("events", p) for p in range(8)]
    log.close()
    checkpoints = changed_amid.checkpoints()
    assert [checkpoints.newest_offset(p) for p in range(8)] == ends


def test_the_log_alone_brings_a_history_of_many_settings_back(changed_amid):
    before = records(changed_amid)
    for gone in ("checkpoints", "snapshots"):
        shutil.rmtree(changed_amid.root / gone)
    run(changed(OLD, {"decision": {"threshold": 0.7}}), changed_amid)
    after = records(changed_amid)
    assert {p: of for p, of in after.items() if p[0] in TOPICS} == {
        p: of for p, of in before.items() if p[0] in TOPICS
    }
    assert thresholds(changed_amid) == [0.5, 0.3, 0.5, 0.3, 0.7]


def test_an_audit_knows_them_all(changed_amid):
    shutil.rmtree(changed_amid.root / "checkpoints")
    frame = audit(home=changed_amid.root, settings=OLD)
    assert frame["different"].sum() == 0
    assert frame["identical"].sum() == sum(map(len, outputs(changed_amid).values()))


def test_a_history_that_began_with_a_classifier_of_river_comes_back_without_it(tmp_path):
    """A classifier that a mixture begins with has another weight than one that joins it later."""
    river = {"class": "naive_bayes.BernoulliNB"}
    began, today = Home(tmp_path / "began"), OLD
    log = began.log()
    create_topics(log, quotes.stream.partitions)
    append_history(
        log, islice(Market(seed=5, rate_per_s=1.0).events(1.0), 400), quotes.stream.peek()
    )
    log.close()
    run(changed(OLD, {"online": {"river": river}}), began)
    run(today, began)
    frame = audit(home=began.root, settings=today)
    assert frame["different"].sum() == 0
    before = outputs(began)
    shutil.rmtree(began.root / "checkpoints")
    run(today, began)
    assert outputs(began) == before
    assert sum(map(len, before.values())) > 200


def test_a_fit_that_a_run_before_had_not_ended_is_made_by_the_next_though_nothing_new_came(half):
    """`skipped` is a decision like any other, and needs no H2O."""
    home, _ = half
    log = home.log()
    assert ModelRegistry(log).records() == []
    log.close()
    run(changed(OLD, {"training": {"trainer": "embedded", "min_rows": 10**9}}), home)
    log = home.log()
    decided = [one.status for one in ModelRegistry(log).records()]
    log.close()
    assert len(decided) > 1
    assert set(decided) == {"skipped"}


def test_checkpoints_of_a_longer_log_are_refused_and_without_them_it_goes_on(
    half, quotes_made, tmp_path
):
    home, _ = half
    other = Home(tmp_path / "other")
    shutil.copytree(quotes_made.root / "checkpoints", other.root / "checkpoints")
    shutil.copytree(home.root / "log", other.root / "log")
    for topic in TOPICS:
        shutil.rmtree(other.root / "log" / topic)
    with pytest.raises(BytewaxRuntimeError) as error:
        run(OLD, other)
    assert isinstance(root_of(error.value), LogCutError)
    shutil.rmtree(other.root / "checkpoints")
    run(OLD, other)
    assert outputs(other) == outputs(home)
    ends = [len(records(home)["events", p]) for p in range(8)]
    assert [other.checkpoints().newest_offset(p) for p in range(8)] == ends


def test_a_second_flow_on_the_same_home_is_refused_and_names_the_first(tmp_path):
    words = (
        "import sys; from pathlib import Path; from flows.home.file_lock import lock_partition;"
        "held = lock_partition(Path(sys.argv[1]), 3); print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", words, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as first:
        first.stdout.readline()
        with pytest.raises(
            LockedError, match=rf"^events/3 is already processed by pid {first.pid} "
        ):
            lock_partition(tmp_path, 3)
        os.close(lock_partition(tmp_path, 2))
        first.stdin.close()
        first.wait()
    os.close(lock_partition(tmp_path, 3))
