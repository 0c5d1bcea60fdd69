"""A what-if is the live flow on a branch: the original stays, and nothing changed is no change."""

import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import msgspec
import polars as pl
import pytest

from flows.home.home import Home, create_topics
from flows.replay import branch as branches
from flows.replay import what_if
from flows.replay.held import held
from operators.partition.journal import Activated, Journal
from operators.shard.shard import TOPICS
from operators.training.model_registry import ModelRegistry
from state.log import EVENTS, Entry
from state.process_lock import LockedError
from state.settings import changed
from tests.flows.replay.conftest import QUOTES, copied, run

BOTH = ("probability", "online", "offline", "residual", "decision", "model")


def files(home):
    return {
        path: path.read_bytes()
        for folder in ("log", "checkpoints", "snapshots", "artifacts")
        for path in (home.root / folder).rglob("*")
        if path.is_file() and not path.name.endswith(("-shm", "-wal"))
    }


def sides(requests):
    """The recorded half and the branch's, under the same names."""
    return [
        requests.select(pl.col(f"{name}_{side}").alias(name) for name in BOTH)
        for side in ("base", "branch")
    ]


def second_boundary(home):
    """When the second model was activated."""
    log = home.log()
    time = [m.boundary for m in ModelRegistry(log).records() if m.status == "promoted"][1]
    log.close()
    return datetime.fromtimestamp(time / 1e6, UTC)


def only_branch(home):
    (branch,) = branches.branches_of(home)
    return branch


def everything(home, branch):
    log = branches.log_of(home.log(), home, branch)
    held = {
        (topic, p): [r[1:] for r in log.read(topic, p, branch.forks[topic][p], max_records=10**6)]
        for topic in (*TOPICS, "activations", "snapshots")
        for p in range(log.partitions(EVENTS))
    }
    log.close()
    return held


def outcomes(home, partitions=1):
    log = home.log()
    found = [
        msgspec.json.decode(r.value)
        for p in range(partitions)
        for r in log.read("outcomes", p, 0, max_records=10**6)
    ]
    log.close()
    return {one["id"]: one for one in found}


@pytest.mark.parametrize("since", [None, "second boundary"])
def test_without_a_change_it_is_what_was_recorded(rides, rides_settings, since):
    since = second_boundary(rides) if since else None
    requests = what_if({}, since, home=rides.root, settings=rides_settings)
    recorded, replayed = sides(requests)
    assert recorded.equals(replayed)
    assert len(requests) > 50
    branch = only_branch(rides)
    assert (branch.models, branch.done) == ("reused", True)
    assert branch.boundary == (0 if since is None else round(since.timestamp() * 1e6))


def test_every_request_of_the_range_has_its_row_and_its_label(rides, rides_settings):
    requests = what_if({}, home=rides.root, settings=rides_settings)
    known = outcomes(rides)
    log = rides.log()
    made = [msgspec.json.decode(r.value) for r in log.read("predictions", 0, 0, max_records=10**6)]
    log.close()
    assert requests.sort("offset")["id"].to_list() == [one["id"] for one in made]
    for row in requests.iter_rows(named=True):
        assert row["label"] == (known[row["id"]]["label"] if row["id"] in known else None)
    assert requests["label"].null_count() < 50


def test_another_threshold_decides_otherwise_and_leaves_the_original_alone(rides, rides_settings):
    before = files(rides)
    since = second_boundary(rides)
    requests = what_if(
        {"decision.threshold": 0.999}, since, home=rides.root, settings=rides_settings
    )
    recorded, replayed = sides(requests)
    assert not recorded["decision"].equals(replayed["decision"])
    assert recorded.drop("decision").equals(replayed.drop("decision"))
    assert files(rides) == before


def test_a_branch_is_what_a_live_flow_with_its_settings_would_have_written(
    market, quotes_settings, tmp_path
):
    other = changed(quotes_settings, {"decision": {"threshold": 0.4}})
    requests = what_if(
        {"decision.threshold": 0.4}, home=market.root, settings=quotes_settings, workers=2
    )
    live = Home(tmp_path / "live")
    log, source = live.log(), market.log()
    create_topics(log, source.partitions(EVENTS))
    for p in range(source.partitions(EVENTS)):
        log.append(EVENTS, p, [Entry(*r[1:]) for r in source.read(EVENTS, p, 0)])
    log.close()
    source.close()
    run(other, live)
    expected = outcomes(live, partitions=8)
    found = {row["id"]: row["online_branch"] for row in requests.iter_rows(named=True)}
    assert len(expected) > 500
    assert {name: found[name] for name in expected} == {
        name: one["online"] for name, one in expected.items()
    }


def test_a_pinned_model_scores_from_the_boundary_on_without_a_fit(rides, rides_settings):
    log = rides.log()
    pinned = next(m.model for m in ModelRegistry(log).records() if m.status == "promoted")
    log.close()
    since = second_boundary(rides)
    requests = what_if({"training.pinned": pinned}, since, home=rides.root, settings=rides_settings)
    assert requests["model_branch"].unique().to_list() == [pinned]
    assert pinned not in requests["model_base"].to_list()
    assert only_branch(rides).models == "pinned"


def test_a_pinned_model_must_be_known(rides, rides_settings):
    with pytest.raises(ValueError, match=r"training\.pinned must be a model in topic 'models'"):
        what_if({"training.pinned": "gbm-0"}, home=rides.root, settings=rides_settings)
    assert not (rides.root / "branches").exists()


def test_fits_are_made_again_where_the_training_changed(rides, rides_settings):
    before = files(rides)
    since = second_boundary(rides)
    asked = {"home": rides.root, "settings": rides_settings}
    requests = what_if({"training.every": "1h"}, since, since + timedelta(hours=3), **asked)
    branch = only_branch(rides)
    assert branch.models == "refitted"
    log = branches.log_of(rides.log(), rides, branch)
    decided = ModelRegistry(log).records()
    journal = [e for e in Journal(log, 0).entries if isinstance(e, Activated)]
    log.close()
    own = [m for m in decided if m.boundary >= branch.boundary]
    assert [m.boundary for m in own][:2] == [branch.boundary, branch.boundary + 3_600_000_000]
    assert {m.status for m in own[:2]} == {"promoted"}
    assert journal[-1].model == [m.model for m in decided if m.status == "promoted"][-1]
    assert requests["model_branch"].n_unique() > requests["model_base"].n_unique()
    assert files(rides) == before


KILLED = """
import os, sys
from flows.replay import branch_job, what_if
from state.settings import settings_from

drive = branch_job.drive

def some(lives, *, waiting, report, tick):
    left = iter(range(12))

    def until(step):
        report(step)
        if next(left, None) is None:
            os.kill(os.getpid(), 9)

    drive(lives, waiting=waiting, report=until, tick=tick)

branch_job.drive = some
what_if({"decision.threshold": 0.4}, home=sys.argv[1], settings=settings_from(eval(sys.argv[2])))
"""


def test_a_branch_that_was_killed_and_called_again_equals_one_that_was_not(
    market, quotes_made, quotes_settings, tmp_path
):
    words = [sys.executable, "-c", KILLED, str(market.root), repr(QUOTES)]
    killed = subprocess.run(words, check=False, capture_output=True)
    assert killed.returncode == -9, killed.stderr
    branch = only_branch(market)
    assert not branch.done
    assert sum(map(len, everything(market, branch).values())) > 0
    resumed = what_if({"decision.threshold": 0.4}, home=market.root, settings=quotes_settings)

    (tmp_path / "whole").mkdir()
    whole = copied(quotes_made, tmp_path / "whole")
    unbroken = what_if({"decision.threshold": 0.4}, home=whole.root, settings=quotes_settings)
    assert resumed.equals(unbroken)
    assert only_branch(market).done
    assert everything(market, only_branch(market)) == everything(whole, only_branch(whole))


def test_the_same_question_again_is_answered_from_what_is_there(market, quotes_settings):
    asked = {"home": market.root, "settings": quotes_settings}
    first = what_if({"decision.threshold": 0.3}, **asked)
    written = files(branches.home_of(market, only_branch(market).name))
    again = what_if({"decision.threshold": 0.3}, **asked)
    assert again.equals(first)
    assert files(branches.home_of(market, only_branch(market).name)) == written


def test_two_what_ifs_at_once_do_not_disturb_each_other(market, quotes_settings):
    asked = {"home": market.root, "settings": quotes_settings}
    alone = what_if({"decision.threshold": 0.2}, **asked)
    branches.remove(market, only_branch(market).name)
    script = (
        "import sys; from flows.replay import what_if; from state.settings import settings_from; "
        "what_if({'decision.threshold': 0.7}, home=sys.argv[1], "
        "settings=settings_from(eval(sys.argv[2])))"
    )
    words = [sys.executable, "-c", script, str(market.root), repr(QUOTES)]
    with subprocess.Popen(words) as other:
        beside = what_if({"decision.threshold": 0.2}, **asked)
    assert other.returncode == 0
    assert beside.equals(alone)
    assert [branch.done for branch in branches.branches_of(market)] == [True, True]


def test_the_same_what_if_twice_at_once_is_refused(market, quotes_settings):
    asked = {"home": market.root, "settings": quotes_settings}
    what_if({"decision.threshold": 0.2}, **asked)
    name = only_branch(market).name
    with (
        held(branches.home_of(market, name).root, "branch"),
        pytest.raises(LockedError, match=f"branch must be free; got '{name}' in use"),
    ):
        what_if({"decision.threshold": 0.2}, **asked)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"online.speed": 1}, "unknown field `speed` - at `\\$.online`"),
        (
            {"decision.threshold": "fast"},
            "Expected `float`, got `str` - at `\\$.decision.threshold`",
        ),
        ({"online.rate": 0.1}, "online.rate no longer exists"),
        ({"partitions": 3}, "setting must matter to a replay; got 'partitions'"),
        ({"follow": True}, "setting must matter to a replay; got 'follow'"),
        ({"training.algorithm": "gbmm"}, "got 'gbmm' in training.algorithm"),
        ({"stream": "nowhere:stream"}, "nowhere"),
    ],
)
def test_a_wrong_change_is_refused_before_anything_is_made(
    market, quotes_settings, changes, message
):
    with pytest.raises(ValueError, match=message):
        what_if(changes, home=market.root, settings=quotes_settings)
    assert not (market.root / "branches").exists()


def test_a_live_flow_uses_the_pinned_model_from_the_first_boundary_on_and_fits_nothing(
    rides, rides_settings, tmp_path
):
    log = rides.log()
    published = ModelRegistry(log).records()
    pinned = [m.model for m in published if m.status == "promoted"][1]
    anew = Home(tmp_path / "anew")
    shutil.copytree(rides.root / "artifacts", anew.root / "artifacts")
    other = anew.log()
    create_topics(other, log.partitions(EVENTS))
    for topic in (EVENTS, "models"):
        records = log.read(topic, 0, 0, max_records=10**6)
        other.append(topic, 0, [Entry(r.append_time, r.key, r.value) for r in records])
    log.close()
    other.close()
    rides = anew
    run(changed(rides_settings, {"training": {"pinned": pinned}}), rides)
    log = rides.log()
    assert ModelRegistry(log).records() == published
    used = {entry.model for entry in Journal(log, 0).entries if isinstance(entry, Activated)}
    assert used == {pinned}
    newest = log.read("predictions", 0, log.end("predictions", 0) - 1)[0]
    assert msgspec.json.decode(newest.value)["model"] == pinned
    log.close()
