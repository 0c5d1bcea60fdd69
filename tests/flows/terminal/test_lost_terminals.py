"""A flow outlives whoever its messages went to: a full disk, a closed pipe, a closed terminal."""

import os
import pty
import shutil
import subprocess
import sys

import pytest

from flows.home.home import Home
from state.checkpoints.store import CheckpointStore
from tests.flow_processes import REPOSITORY, fill
from tests.torture import WITHOUT_H2O

RUN = ("-m", "flows", "run")
BYTEWAX = ("-m", "bytewax.run", "flows.main")
FOLLOW = ("-m", "flows", "run", "--follow")


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A home that has not been run."""
    root = tmp_path_factory.mktemp("lost") / "filled"
    fill(root, WITHOUT_H2O, hours=0.2)
    return root


@pytest.fixture
def home(filled, tmp_path):
    return shutil.copytree(filled, tmp_path / "home")


def started(home, words, messages):
    environment = os.environ | {
        "HEADWATER_HOME": str(home),
        "HEADWATER_CONFIG": str(home / "headwater.toml"),
        "TERM": "xterm",
        "COLUMNS": "200",
        "PYTHONUNBUFFERED": "",  # what cannot be written would otherwise not be left at the end
    }
    return subprocess.Popen(
        [sys.executable, *words], cwd=REPOSITORY, env=environment,
        stdin=messages, stdout=messages, stderr=messages, start_new_session=True,
        preexec_fn=own_terminal if os.isatty(messages) else None,  # noqa: PLW1509 - no lock
    )  # fmt: skip


def own_terminal():
    """Make standard input the terminal whose end is told to the process."""
    import fcntl  # noqa: PLC0415 - in the child
    import termios  # noqa: PLC0415

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def all_is_read(home):
    log, store = Home(home).log(), CheckpointStore(home / "checkpoints")
    ends = [log.end("events", partition) for partition in range(8)]
    log.close()
    return ends == [store.newest_offset(partition) for partition in range(8)]


@pytest.mark.parametrize("words", [RUN, BYTEWAX], ids=["headwater", "bytewax"])
def test_a_run_whose_messages_find_a_full_disk_reads_on_to_the_end(home, words):
    full = os.open("/dev/full", os.O_RDWR)
    assert started(home, words, full).wait(120) == 0
    os.close(full)
    assert all_is_read(home)


def test_a_run_whose_messages_go_to_a_closed_pipe_reads_on_to_the_end(home):
    reader, writer = os.pipe()
    os.close(reader)
    assert started(home, RUN, writer).wait(120) == 0
    os.close(writer)
    assert all_is_read(home)


def test_a_run_whose_terminal_is_closed_stops_cleanly(home):
    terminal, within = pty.openpty()
    running = started(home, FOLLOW, within)
    os.close(within)
    shown = b""
    while b"waiting for new events" not in shown:
        shown += os.read(terminal, 65_536)
    os.close(terminal)
    assert running.wait(60) == 0
    assert all_is_read(home)


def test_a_bar_has_its_colours_in_a_terminal(home):
    terminal, within = pty.openpty()
    running = started(home, RUN, within)
    os.close(within)
    shown = b""
    try:
        while part := os.read(terminal, 65_536):
            shown += part
    except OSError:  # the other end is closed
        pass
    assert running.wait(60) == 0
    os.close(terminal)
    assert b"\x1b[" in shown
    assert b"u001b" not in shown
