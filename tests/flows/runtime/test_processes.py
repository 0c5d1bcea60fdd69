"""`headwater run -p` spreads the partitions over processes, and ends them together."""

import os
import re
import select
import signal

import pytest

from flows.home.home import Home
from tests.flow_processes import Group, fill
from tests.kafka.matrix import held

SETTINGS = """
[training]
trainer = "external"
wait = false
every = "20m"
"""
FOLLOWING = f"follow = true\n{SETTINGS}"
FLOW = ("-m", "flows", "run")
WITHIN_S = 240.0


def records(root):
    log = Home(root).log()
    found = held(log)
    log.close()
    return found


def workers(flow, root):
    """Process ids of those that work on partitions, once all eight are worked on."""
    locks = [root / "running" / f"{p}.lock" for p in range(8)]
    flow.until(lambda: all(lock.exists() and lock.read_text() for lock in locks), WITHIN_S)
    return sorted({int(lock.read_text()) for lock in locks})


def ends(pid):
    """A file descriptor that can be read once the process has ended."""
    waiting = select.poll()
    waiting.register(os.pidfd_open(pid), select.POLLIN)
    return waiting


@pytest.fixture
def following(tmp_path):
    fill(tmp_path / "home", FOLLOWING, 0.1)
    flow = Group(tmp_path / "home", words=(*FLOW, "-p", "2"))
    try:
        yield flow, workers(flow, tmp_path / "home")
    finally:
        if not flow.ended():
            flow.signal(signal.SIGKILL)
        flow.wait(WITHIN_S)


@pytest.mark.timeout(600)
def test_two_processes_write_what_one_does(tmp_path):
    for name, words in (("one", ()), ("two", ("-p", "2"))):
        fill(tmp_path / name, SETTINGS, 0.5)
        flow = Group(tmp_path / name, words=(*FLOW, *words))
        assert flow.wait(WITHIN_S) == [0], flow.output()
    assert records(tmp_path / "one") == records(tmp_path / "two")
    assert len(re.findall(r"^\[[01]\] Up to date", flow.output(), re.MULTILINE)) == 1


@pytest.mark.timeout(600)
def test_a_signal_stops_all_cleanly(following):
    flow, pids = following
    assert len(pids) == 2
    flow.signal(signal.SIGTERM)
    assert flow.wait(WITHIN_S) == [0], flow.output()
    assert "run again to resume" in flow.output()


@pytest.mark.timeout(600)
def test_the_death_of_one_ends_all_and_says_which(following):
    flow, pids = following
    other = ends(pids[1])
    os.kill(pids[0], signal.SIGKILL)
    assert flow.wait(WITHIN_S) == [2], flow.output()
    assert other.poll(1000 * WITHIN_S)
    told = r"headwater: process [01] of 2 ended with signal 9, so the others were ended too; "
    assert re.search(told, flow.output()), flow.output()


@pytest.mark.timeout(600)
def test_none_is_left_behind_when_the_one_that_started_them_is_killed(following):
    flow, pids = following
    waiting = [ends(pid) for pid in pids]
    flow.processes[0].kill()
    assert flow.wait(WITHIN_S) == [-9]
    assert all(one.poll(1000 * WITHIN_S) for one in waiting)


@pytest.mark.timeout(600)
def test_what_is_wrong_with_the_settings_is_said_once(tmp_path):
    fill(tmp_path / "home", "[training]\nevry = 1\n", 0.01)
    flow = Group(tmp_path / "home", words=(*FLOW, "-p", "3"))
    assert flow.wait(WITHIN_S) == [2]
    assert flow.output().count("unknown field `evry`") == 1
