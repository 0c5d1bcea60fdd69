"""A process tells that it lives, and a killed one is missed."""

import json
import os
import socket
import subprocess
import threading

import psutil
import pytest

from flows.home.heartbeat import FRESH_S, Heartbeat, beats_in
from tests.waiting import until


@pytest.fixture
def beat(tmp_path):
    one = Heartbeat(tmp_path, "flow", threading.Event())
    yield one
    one.close()


def written(root):
    (path,) = (root / "running").glob("*.json")
    return path, json.loads(path.read_bytes())


def test_a_beat_says_what_the_process_uses(tmp_path, beat):
    path, told = written(tmp_path)
    (found,) = beats_in(tmp_path, told["at"])
    own, *_ = found.processes  # the rest is H2O, where tests before this one started it
    process = psutil.Process()
    assert (found.host, own.role, own.pid) == (socket.gethostname(), "flow", os.getpid())
    assert found.started == process.create_time()
    assert 0 < own.cpu_s <= sum(process.cpu_times()[:2])
    assert own.memory_bytes == pytest.approx(process.memory_info().rss, rel=0.5)
    assert (own.descriptors, own.threads) >= (3, 1)
    beat.close()
    assert beats_in(tmp_path, told["at"]) == []
    assert not path.exists()


def test_a_beat_that_is_old_counts_no_more(tmp_path, beat):
    at = written(tmp_path)[1]["at"]
    assert len(beats_in(tmp_path, at + FRESH_S)) == 1
    assert beats_in(tmp_path, at + FRESH_S + 0.001) == []


def test_what_is_no_beat_is_passed_over(tmp_path, beat):
    (tmp_path / "running" / "odd.json").write_bytes(b'{"host":')
    (tmp_path / "running" / "other.json").write_bytes(b"\xff")
    assert len(beats_in(tmp_path, written_at(tmp_path))) == 1


def written_at(root):
    (path,) = (root / "running").glob("flow-*.json")
    return json.loads(path.read_bytes())["at"]


def test_a_home_without_processes_has_no_beats(tmp_path):
    assert beats_in(tmp_path / "nowhere", 0.0) == []


def test_beats_that_were_left_a_day_ago_are_removed_by_the_next_process(tmp_path):
    (tmp_path / "running").mkdir()
    left = tmp_path / "running" / "flow-gone-1.json"
    for age, stays in ((90_000, False), (80_000, True)):
        left.write_bytes(b"{}")
        past = left.stat().st_mtime - age
        os.utime(left, (past, past))
        Heartbeat(tmp_path, "flow", threading.Event()).close()
        assert left.exists() is stays


def test_a_disk_that_takes_no_beat_stops_nothing(tmp_path):
    (tmp_path / "running").write_bytes(b"a file where the folder should be")
    Heartbeat(tmp_path, "flow", threading.Event()).close()
    assert (tmp_path / "running").read_bytes().startswith(b"a file")


@pytest.mark.parametrize("is_java", [True, False])
def test_h2o_below_the_process_is_told_too(tmp_path, is_java):
    program = tmp_path / ("java" if is_java else "other")
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([str(program), "60"]) as child:
        named = psutil.Process(child.pid).name
        until(lambda: named() in {"java", "other"})  # first it is the fork of this process
        beat = Heartbeat(tmp_path, "trainer", threading.Event())
        told = written(tmp_path)[1]["processes"]
        beat.close()
        child.kill()
    ours = [("trainer", os.getpid())]
    children = [("h2o", child.pid)] if is_java else []
    mine = {os.getpid(), child.pid}
    assert [(p["role"], p["pid"]) for p in told if p["pid"] in mine] == ours + children
