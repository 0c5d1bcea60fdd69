"""SIGINT, SIGTERM and SIGHUP end a flow cleanly, whatever it is at; and it goes on from there."""

import shutil
import signal
import subprocess
import sys

import msgspec
import pytest

from flows.home.home import Home
from models.refit.fit_record import FitRecord
from state.checkpoints.store import CheckpointStore
from tests.flow_processes import REPOSITORY, Group, Shape, fill
from tests.torture import WITHOUT_H2O, compare

LIMIT_S = 30.0  # for a busy machine; it takes about one
RUN = ("-m", "flows", "run")
FITTING = """
[training]
every = "20m"
min_rows = 100
validation = "5m"
[h2o]
memory = "300m"
"""


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A home that has not been run, and one that was, to its end."""
    fresh = tmp_path_factory.mktemp("homes") / "fresh"
    rarely = WITHOUT_H2O.replace("300ms", "1h")
    fill(fresh, rarely, hours=0.8)
    whole = fresh.with_name("whole")
    shutil.copytree(fresh, whole)
    assert Group(whole).wait(60) == [0]
    return fresh, whole


def stopped(group, number):
    """Stop it, and return what it said."""
    group.signal(number)
    codes = group.wait(LIMIT_S)
    assert not any(codes), group.output()
    assert "Traceback" not in group.output()
    return group.output()


def grown(root, topic):
    log = Home(root).log()
    ends = sum(log.end(topic, p) for p in range(log.partitions(topic)))
    log.close()
    return ends


@pytest.mark.parametrize(
    ("number", "shape", "words"),
    [
        (signal.SIGINT, Shape(), RUN),
        (signal.SIGTERM, Shape(workers=3), ()),
        (signal.SIGINT, Shape(processes=2), ()),
        (signal.SIGHUP, Shape(), RUN),
    ],
)
def test_a_run_that_is_stopped_goes_on_from_there_to_the_same_bytes(
    filled, tmp_path, number, shape, words
):
    fresh, whole = filled
    home = tmp_path / "home"
    shutil.copytree(fresh, home)
    group = Group(home, shape, words)
    group.until(lambda: grown(home, "predictions") > 50)
    said = stopped(group, number)
    assert said.splitlines()[-1].startswith("Stopped at 2024-01-01 0")
    assert said.splitlines()[-1].endswith("; run again to resume.")
    assert "Up to date" not in said
    log, store = Home(home).log(), CheckpointStore(home / "checkpoints")
    newest = [next(store.newest_first(partition)) for partition in range(8)]
    for partition, checkpoint in enumerate(newest):
        assert log.end("predictions", partition) == checkpoint.counters["predictions"]
    assert sum(c.offset for c in newest) < grown(home, "events")
    log.close()

    again = Group(home)
    assert again.wait(60) == [0]
    assert "Up to date" in again.output()
    compare(whole, home)


def test_a_stop_works_while_partitions_hold_at_a_boundary(tmp_path):
    home = tmp_path / "home"
    fill(home, '[training]\nevery = "20m"\ntrainer = "external"\n', hours=0.5)
    group = Group(home)
    group.until(lambda: grown(home, "snapshots") == 8)  # the first boundary, never decided
    assert "Stopped" in stopped(group, signal.SIGTERM)
    assert grown(home, "activations") == 8  # the settings of each partition, no model


def test_a_stop_works_while_the_log_is_filled(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "headwater.toml").write_text('stream = "quotes"\n')
    group = Group(home, words=RUN)
    note = home / "demo.json"
    group.until(note.exists)
    assert stopped(group, signal.SIGINT).endswith(
        "Stopped while filling the log; run again to resume.\n"
    )
    assert msgspec.json.decode(note.read_bytes())["complete"] is False


def test_a_stop_ends_h2o_at_once_and_nothing_is_decided(tmp_path):
    home = tmp_path / "home"
    fill(home, FITTING, hours=0.7)
    group = Group(home)
    group.until(lambda: any(home.glob("tmp/headwater-h2o-*/flatfile")))
    said = stopped(group, signal.SIGTERM)
    assert not any((home / "tmp").iterdir())
    assert "failed" not in said
    log = Home(home).log()
    decisions = [msgspec.json.decode(r.value, type=FitRecord) for r in log.read("models", 0, 0)]
    log.close()
    assert {one.status for one in decisions} == {"skipped"}  # those with too few outcomes


def test_a_second_signal_ends_the_process_at_once():
    program = (
        "from flows.terminal.signals import stop_on_signals\n"
        "stop = stop_on_signals()\n"
        "print('ready', flush=True)\n"
        "stop.wait()\n"
        "print('asked', flush=True)\n"
        "input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        for word in ("ready\n", "asked\n"):
            assert process.stdout.readline() == word
            process.send_signal(signal.SIGINT)
        assert process.wait(30) == -signal.SIGINT
