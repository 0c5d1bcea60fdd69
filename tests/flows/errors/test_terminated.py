"""A signal at any moment leaves no part of a file; what SIGKILL leaves, the next start removes."""

import contextlib
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from state.log import Entry
from state.log.sqlite import SqliteLog

COMMAND = [sys.executable, "-m", "flows"]


@pytest.fixture
def home(tmp_path):
    log = SqliteLog(tmp_path / "home" / "log")
    for topic in ("events", "predictions"):
        log.create(topic, 1)
    noise = np.random.default_rng(1)
    for _ in range(40):
        log.append("events", 0, [Entry(1, b"", noise.bytes(100_000)) for _ in range(10)])
    log.close()
    return tmp_path / "home"


def export(home, out):
    environment = os.environ | {"HEADWATER_HOME": str(home)}
    return subprocess.Popen(
        [*COMMAND, "export", "events", "--out", str(out)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def parts(folder):
    return [path.name for path in folder.iterdir() if path.name.endswith(".part")]


def until_it_writes(running, folder):
    while not any((folder / name).stat().st_size for name in parts(folder)):
        assert running.poll() is None, "it ended before it wrote"


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_in_the_midst_of_an_export_leaves_nothing(tmp_path, home, kind):
    folder = tmp_path / "out"
    folder.mkdir()
    random = np.random.default_rng(kind)
    for _ in range(3):
        running = export(home, folder / "events.jsonl.gz")
        until_it_writes(running, folder)
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(random.random() * 0.2)
        running.send_signal(kind)
        _, told = running.communicate()
        assert (running.returncode, told) == (
            {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGHUP: 129}[kind],
            "headwater: stopped: nothing was written\n",
        )
        assert list(folder.iterdir()) == []


def test_an_export_that_nohup_started_outlives_its_terminal(tmp_path, home):
    folder = tmp_path / "out"
    folder.mkdir()
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` does
    try:
        running = export(home, folder / "events.jsonl.gz")
    finally:
        signal.signal(signal.SIGHUP, before)
    until_it_writes(running, folder)
    running.send_signal(signal.SIGHUP)
    running.communicate()
    assert running.returncode == 0
    assert [path.name for path in folder.iterdir()] == ["events.jsonl.gz"]


def test_what_a_kill_left_is_gone_after_the_next_export(tmp_path, home):
    folder = tmp_path / "out"
    folder.mkdir()
    running = export(home, folder / "events.jsonl.gz")
    until_it_writes(running, folder)
    running.kill()
    running.communicate()
    assert len(parts(folder)) == 1
    again = export(home, folder / "events.jsonl.gz")
    again.communicate()
    assert again.returncode == 0
    assert [path.name for path in folder.iterdir()] == ["events.jsonl.gz"]
