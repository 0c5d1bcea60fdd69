"""`headwater replay` and `headwater branches` as people type them."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from flows.__main__ import main
from flows.replay import branch as branches
from tests.flows.replay.test_audit import field, tamper

REPOSITORY = Path(__file__).parents[3]
TOML = """
stream = "quotes"
[training]
trainer = "external"
wait = false
every = "10m"
[reading]
batch = 50
"""


@pytest.fixture
def home(market, tmp_path, monkeypatch):
    (tmp_path / "headwater.toml").write_text(TOML)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEADWATER_CONFIG", raising=False)
    monkeypatch.setenv("HEADWATER_HOME", str(market.root))
    return market


def ended(*argv):
    try:
        return main(["replay", *argv])
    except SystemExit as end:
        return end.code


def held(home, topic):
    log = home.log()
    count = sum(log.end(topic, p) for p in range(8))
    log.close()
    return count


def test_an_audit_counts_what_is_identical_and_shows_the_chains(home, capsys):
    assert ended() == 0
    out, err = capsys.readouterr()
    first, *partitions = out.splitlines()
    assert first.startswith(f"{held(home, 'predictions'):,} predictions identical, ")
    assert f"{held(home, 'outcomes'):,} outcomes" in first
    log = home.log()
    for p, line in enumerate(partitions):
        newest = json.loads(log.read("predictions", p, log.end("predictions", p) - 1)[0].value)
        assert line.startswith(f"partition {p}: chain {newest['chain']} at offset ")
    log.close()
    assert "the head of the log" in err


def test_a_tampered_prediction_is_shown_and_ends_with_one(home, capsys):
    tamper(home, "predictions", 7, field("probability", 0.5), partition=2)
    assert ended("-w", "2") == 1
    out = capsys.readouterr().out
    assert "DIFFERENT: 1 predictions" in out
    assert "first: predictions/2 at sequence 7, request '" in out
    assert "probability: recorded 0.5, replayed 0." in out
    assert "cause: it was altered after it was written" in out


def test_a_what_if_shows_both_sides_within_80_columns(home, capsys):
    policy = Path("policy.toml")
    policy.write_text("[decision]\nthreshold = 0.3\nfalse_negative = 4.0\n")
    assert (
        ended("--policy", str(policy), "--set", "decision.threshold=0.4", "--out", "x.parquet") == 0
    )
    out = capsys.readouterr().out
    assert "decision.threshold=0.4" in out
    assert max(map(len, out.splitlines()[1:])) <= 80
    requests = pl.read_parquet("x.parquet")
    assert f"{len(requests):,} requests, {requests['label'].count():,} of them labelled" in out
    labelled = requests.drop_nulls("label")
    costs = []
    for side in ("base", "branch"):
        decided, label = labelled[f"decision_{side}"], labelled["label"]
        wrongly = (decided & (label == 0)).sum()
        missed = (~decided & (label == 1)).sum()
        costs.append(1000 * (wrongly + 4 * missed) / len(labelled))
    assert f"recorded {costs[0]:,.2f}, what-if {costs[1]:,.2f}" in out
    changed = (requests["decision_base"] != requests["decision_branch"]).sum()
    assert f"decisions changed    {changed:,} of {len(requests):,}" in out
    for name in ("base", "branch"):
        losses = -(
            pl.when(label == 1).then(pl.col(f"probability_{name}"))
            .otherwise(1 - pl.col(f"probability_{name}"))
        ).log()  # fmt: skip
        assert f"{labelled.select(losses.mean()).item():.4f}" in out


def test_branches_are_listed_and_removed(home, capsys):
    ended("--set", "decision.threshold=0.4")
    (branch,) = branches.branches_of(home)
    capsys.readouterr()
    assert main(["branches"]) == 0
    out = capsys.readouterr().out
    assert f"{branch.name}  the start to the end  done" in out
    assert "decision.threshold=0.4" in out
    assert main(["branches", "--remove", branch.name]) == 0
    assert branches.branches_of(home) == []
    assert list((home.root / "branches").iterdir()) == []
    assert main(["branches", "--remove", branch.name]) == 2
    assert main(["branches", "--remove", "../log"]) == 2
    assert (home.root / "log").exists()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--set", "online.speed=1"], "unknown field `speed`"),
        (["--set", "decision.threshold=-1"], "`$.decision.threshold`"),
        (["--set", "decision.threshold"], "must be KEY=VALUE; got 'decision.threshold'"),
        (["--from", "2024-01-02", "--to", "2024-01-01"], "--from must be before --to"),
        (["--from", "2030-01-01"], "--from must be within the log"),
        (["--from", "noon"], "date must be like"),
        (["--policy", "nowhere.toml"], "nowhere.toml"),
        (["--out", "x.parquet"], "--out must go with --set or --policy"),
        (["--set", "decision.threshold=1", "--out", "x.csv"], "--out must end in .parquet"),
        (["-w", "0"], "must be a whole number from 1"),
    ],
)
def test_a_bad_argument_is_one_line_before_any_work(home, capsys, argv, message):
    assert ended(*argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1
    assert not (home.root / "branches").exists()


WHAT_IF = ("--set", "decision.threshold=0.4")


@pytest.mark.parametrize(
    ("words", "begun"), [(("-w", "2", *WHAT_IF), "Branch "), ((), "Audit of the start to the end")]
)
def test_ctrl_c_says_how_far_it_came_and_the_same_command_ends_it(home, capsys, words, begun):
    argv = [sys.executable, "-m", "flows", "replay", *words]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(argv, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        assert said.startswith(begun)
        process.send_signal(signal.SIGINT)
        left = process.stderr.read()
    assert process.returncode == 130, left
    *_, reached, last = left.splitlines()
    total = f"{held(home, 'events'):,} records read."
    assert re.fullmatch(rf"Stopped (at 2024-.*|before the first event), \d+ of {total}", reached)
    assert last == "headwater: stopped: the same command resumes"
    assert "Traceback" not in left
    assert not any(branch.done for branch in branches.branches_of(home))
    assert ended(*words[2:]) == 0
    assert all(branch.done for branch in branches.branches_of(home))
    assert list((home.root / "audits").glob("*")) == []
    capsys.readouterr()
