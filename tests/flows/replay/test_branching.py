"""The fork of a branch, beside other processes on the same home."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import polars as pl
import pytest

from flows.__main__ import main
from flows.home.home import Home
from flows.replay import branch as branches
from flows.replay import what_if
from flows.replay.branch import BranchError
from flows.replay.comparison import tables
from operators.shard.shard import TOPICS
from operators.training.model_registry import ModelRegistry
from state.events import HOUR_US
from state.log import EVENTS
from state.settings import changed
from tests.flows.replay.conftest import QUOTES, run
from tests.flows.replay.test_what_if import BOTH, everything, only_branch, sides

REPOSITORY = Path(__file__).parents[3]
LIVE = """
import sys
from pathlib import Path
from flows.home.home import Home
from state.settings import settings_from
from tests.flows.replay.conftest import run
run(settings_from(eval(sys.argv[2])), Home(Path(sys.argv[1])))
"""


def records(home):
    log = home.log()
    held = {
        (topic, p): log.read(topic, p, log.start(topic, p), max_records=10**6)
        for topic in (*TOPICS, EVENTS, "activations", "snapshots")
        for p in range(8)
    }
    log.close()
    return held


def middle_boundary(home):
    """A boundary that all partitions have a checkpoint of, and a moment a little later."""
    store = home.checkpoints()
    common = set.intersection(
        *({c.boundary for c in store.newest_first(p, at_boundary=True)} for p in range(8))
    )
    boundary = sorted(common)[len(common) // 2]
    return boundary, datetime.fromtimestamp(boundary / 1e6 + 5, UTC)


def extend(home, rest):
    log = home.log()
    for partition, entries in enumerate(rest):
        log.append(EVENTS, partition, entries)
    log.close()


def test_a_what_if_beside_a_live_flow_disturbs_neither(half, quotes_made, quotes_settings):
    home, rest = half
    asked = {"home": home.root, "settings": quotes_settings}
    extend(home, rest)
    words = [sys.executable, "-c", LIVE, str(home.root), repr(QUOTES)]
    with subprocess.Popen(words, cwd=REPOSITORY) as live:
        what_if({"decision.threshold": 0.2}, **asked)
    assert live.returncode == 0
    assert records(home) == records(quotes_made)
    ended = what_if({"decision.threshold": 0.2}, **asked)
    assert only_branch(home).done
    beside = everything(home, only_branch(home))
    branches.remove(home, only_branch(home).name)
    assert ended.equals(what_if({"decision.threshold": 0.2}, **asked))
    afterwards = everything(home, only_branch(home))
    assert {place: beside[place] for place in afterwards if place[0] in TOPICS} == {
        place: of for place, of in afterwards.items() if place[0] in TOPICS
    }


def test_a_branch_without_an_end_keeps_the_end_that_the_log_had(half, quotes_settings):
    home, rest = half
    asked = {"home": home.root, "settings": quotes_settings}
    before = what_if({"decision.threshold": 0.2}, **asked)
    extend(home, rest)
    run(quotes_settings, home)
    again = what_if({"decision.threshold": 0.2}, **asked)
    # Requests just before that end may have a label by now, but not on the branch.
    assert again.equals(before)
    assert only_branch(home).until is None


def test_where_the_head_is_gone_a_what_if_leaves_at_a_boundary_that_is_left(
    market, quotes_settings, tmp_path, monkeypatch
):
    boundary, since = middle_boundary(market)
    asked = {"home": market.root, "settings": quotes_settings}
    whole = what_if({"decision.threshold": 0.2}, since, **asked)
    branches.remove(market, only_branch(market).name)
    trim(market, since, tmp_path, monkeypatch)
    assert what_if({"decision.threshold": 0.2}, since, **asked).equals(whole)
    assert only_branch(market).boundary == boundary
    log = market.log()
    first = log.start(EVENTS, 0)
    log.close()
    assert first > 0
    with pytest.raises(ValueError, match=f"first offset left in events/0 is {first} "):
        what_if({"decision.threshold": 0.3}, **asked)


def test_a_trim_keeps_what_a_branch_reads(market, quotes_settings, tmp_path, monkeypatch, capsys):
    _, since = middle_boundary(market)
    asked = {"home": market.root, "settings": quotes_settings}
    before = what_if({"decision.threshold": 0.2}, since, **asked)
    newest = datetime.fromtimestamp(
        max(record[-1].append_time for record in records(market).values() if record) / 1e6, UTC
    )
    trim(market, newest, tmp_path, monkeypatch)
    assert "branches need some of it: `headwater branches --remove`" in capsys.readouterr().out
    begins = only_branch(market).begins
    log = market.log()
    assert [log.start(EVENTS, p) for p in range(8)] == begins
    log.close()
    assert min(begins) > 0
    assert what_if({"decision.threshold": 0.2}, since, **asked).equals(before)
    branches.remove(market, only_branch(market).name)
    trim(market, newest, tmp_path, monkeypatch)
    assert "branches need" not in capsys.readouterr().out
    log = market.log()
    assert all(log.start(EVENTS, p) > begins[p] for p in range(8))
    log.close()


def trim(home, before, folder, monkeypatch):
    (folder / "headwater.toml").write_text(
        'stream = "quotes"\n[training]\nevery = "10m"\ntrainer = "external"\nwait = false\n'
    )
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HEADWATER_HOME", str(home.root))
    monkeypatch.delenv("HEADWATER_CONFIG", raising=False)
    assert main(["trim", "--all", "--before", before.isoformat()]) == 0


def test_other_features_begin_at_the_head_with_decisions_of_their_own(market, quotes_settings):
    _, since = middle_boundary(market)
    changes = {"stream": "tests.flows.replay.other_quotes:stream", "training.min_rows": 100_000}
    requests = what_if(changes, since, home=market.root, settings=quotes_settings)
    branch = only_branch(market)
    assert (branch.boundary, branch.begins, branch.models) == (0, [0] * 8, "refitted")
    log = branches.log_of(market.log(), market, branch)
    outcome = msgspec.json.decode(log.read("outcomes", 0, 0)[0].value)
    decided = ModelRegistry(log).records()
    log.close()
    assert {one.status for one in decided} == {"skipped"}
    base = market.log()
    gone = msgspec.json.decode(base.read("outcomes", 0, 0)[0].value).keys() - outcome.keys()
    base.close()
    assert gone
    recorded, replayed = sides(requests)
    assert len(requests) > 300
    assert not recorded["online"].equals(replayed["online"])


def test_another_river_model_begins_at_the_head(market, quotes_settings):
    _, since = middle_boundary(market)
    tree = {"class": "tree.HoeffdingTreeClassifier", "grace_period": 20}
    asked = {"home": market.root, "settings": quotes_settings}
    requests = what_if({"online.river": tree}, since, **asked)
    branch = only_branch(market)
    assert (branch.boundary, branch.begins) == (0, [0] * 8)
    recorded, replayed = sides(requests)
    assert recorded.columns == list(BOTH)
    assert not recorded["online"].equals(replayed["online"])
    assert replayed["online"].is_between(0, 1).all()
    assert what_if({"online.river": tree}, since, **asked).equals(requests)


@pytest.mark.parametrize("name", ["..", "", ".", "../..", "0f3c5a9be1/..", "0f3c5a9be1"])
def test_a_name_that_is_no_branchs_removes_nothing(tmp_path, name):
    home = Home(tmp_path / "home")
    (home.root / "branches").mkdir(parents=True)
    (home.root / "log").touch()
    with pytest.raises(BranchError, match=r"one of this home's \(none\); got"):
        branches.remove(home, name)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["branches", "home", "log"]


def test_what_other_code_or_other_features_made_is_not_shown_again(
    market, quotes_settings, monkeypatch
):
    asked = {"home": market.root, "settings": quotes_settings}
    done = what_if({"decision.threshold": 0.2}, **asked)
    before = only_branch(market)
    monkeypatch.setattr("operators.shard.shard.VERSION", 99)
    assert what_if({"decision.threshold": 0.2}, **asked).equals(done)
    (after,) = (one for one in branches.branches_of(market) if one.name != before.name)
    assert (after.shape[:2], after.begins) == ("99", [0] * 8)


def test_a_branch_that_was_broken_off_ends_though_the_base_has_gone_on(half, quotes_settings):
    home, rest = half
    asked = {"home": home.root, "settings": quotes_settings}
    whole = what_if({"decision.threshold": 0.2}, **asked)
    branch = only_branch(home)
    for path in (branches.home_of(home, branch.name).root / "checkpoints").rglob("*.ckpt"):
        path.unlink()
    branches.save(home, msgspec.structs.replace(branch, done=False))
    extend(home, rest)
    run(quotes_settings, home)
    assert what_if({"decision.threshold": 0.2}, **asked).equals(whole)
    assert only_branch(home).done


def test_what_only_one_side_answered_is_in_the_table_and_counted(half, quotes_settings):
    home, rest = half
    asked = {"home": home.root, "settings": quotes_settings}
    request = next(entry for entry in rest[0] if b'"type":"quote"' in entry.value)
    event = msgspec.json.decode(request.value)
    early = {**event, "id": "early", "time": event["time"] + HOUR_US}
    extend(home, [[request._replace(value=msgspec.json.encode(early))]])
    run(quotes_settings, home)
    whole = what_if({"decision.threshold": 0.4}, **asked)
    more = what_if({"clock.tolerance": "2h"}, **asked)
    (only,) = more.filter(pl.col("decision_base").is_null()).to_dicts()
    assert (only["id"], only["partition"]) == ("early", 0)
    assert only["probability_branch"] is not None
    assert len(more) == len(whole) + 1
    assert "answered otherwise   0 only as recorded, 1 only in the what-if" in tables(
        more, quotes_settings.decision
    )


def test_what_changes_is_counted_from_the_settings_as_recorded(market, quotes_settings):
    today = changed(quotes_settings, {"metrics": {"every": "2h"}})
    requests = what_if({"decision.threshold": 0.3}, home=market.root, settings=today)
    recorded, replayed = sides(requests)
    assert recorded.drop("decision").equals(replayed.drop("decision"))
    assert only_branch(market).changes == {"decision.threshold": 0.3}
